-- The proof of an authentication (CAVV) is good for one authentication: one that comes again is a replay, whoever sends it.
create unique index authentication_cavv_unique on authentication (cavv) where cavv is not null;
