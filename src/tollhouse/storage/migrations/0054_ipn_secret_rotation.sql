-- Rotation of the IPN secret.

alter table merchant
    -- The secret that takes the place of `ipn_secret`, sealed like it, and when it does, in real time. Both sign until then.
    add column next_ipn_secret bytea,
    add column next_ipn_secret_from timestamptz,
    add constraint merchant_next_ipn_secret_has_time
        check ((next_ipn_secret is null) = (next_ipn_secret_from is null));
