-- A value that only the right keys can make, so that a process with others is noticed before it does anything.

create table key_check (
    is_only boolean primary key default true check (is_only),
    -- A digest of the key from which keyed hashes are derived, sealed with the keys that seal everything else.
    sealed bytea not null
);
