-- billing: Return whether a due subscription may be processed: those of a disabled merchant are not charged, and do not expire without a charge.
create function may_be_done_v1(
    is_charge_next boolean, waits_for_account boolean, cancel_at timestamptz, merchant_now timestamptz,
    is_merchant_active boolean
)
returns boolean language sql immutable parallel safe
return $5 or not ($1 or $2) or coalesce($3 <= $4, false);
