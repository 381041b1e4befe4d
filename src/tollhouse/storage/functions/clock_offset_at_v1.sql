-- merchants: Return the offset of a merchant's clock at a moment of real time.
create function clock_offset_at_v1(bigint, timestamptz) returns interval
    language sql stable strict parallel safe
    return coalesce(
        (
            select a.clock_offset
            from clock_advance a
            where a.merchant_id = $1 and a.advanced_at <= $2
            order by a.advanced_at desc
            limit 1
        ),
        '0'
    );
