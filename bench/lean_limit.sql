-- One payment of the lean limit (lean_schema.sql): two calls, each a transaction and a round trip.

\set id random(1, 1000000000)
\set consumer random(1, 100000)
select begin_payment(
    1, md5(:id::text || random()::text), gen_random_uuid(), 'external' || :consumer, 'a@b.c', 'Jane', 'Smith', gen_random_uuid(),
    decode(md5(:consumer::text), 'hex'), '402400', '6348', 'visa',
    '\x00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff', 1999, 'USD', '{"a": 1}',
    'http://127.0.0.1:9999/ipn', 'http://127.0.0.1/ok'
) as payment \gset
select end_payment(
    1, :payment, 1::smallint, '0', 'APPROVED', 'http://127.0.0.1:9999/ipn', repeat('x', 900)::bytea, 1999, 'USD'
);
