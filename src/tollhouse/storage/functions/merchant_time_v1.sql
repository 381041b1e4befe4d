-- merchants: Return the merchant time at a moment of real time.
create function merchant_time_v1(bigint, timestamptz) returns timestamptz
    language sql stable strict parallel safe
    return $2 + clock_offset_at_v1($1, $2);
