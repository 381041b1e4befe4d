-- Tables of: ipn, ledger, payments.
--
-- These queries read the transactions of `payments`, the numbered events of `ipn` and the entries of `ledger`, and state
-- independently which entries each transaction requires. They share no rule with the functions that post entries.
--
-- The scope of a query is the next transactions by key, above `after` and up to `upto`, and additional single ones.

-- name: select_scope_end^
-- Return the key of the last transaction among the next ones of a given number, or nothing if fewer are left.
select merchant_id, transaction_id
from transaction
where (merchant_id, transaction_id) > (:merchant_id::bigint, :transaction_id::bigint)
order by merchant_id, transaction_id
offset :size::bigint - 1
limit 1;

-- name: find_transaction_faults
-- Return transactions whose entries do not match exactly the amounts that they moved.
with chosen as materialized (
    (
        select merchant_id, transaction_id, payment_id, mode, status, amount_minor, currency
        from transaction
        where (merchant_id, transaction_id) > (:after_merchant_id::bigint, :after_id::bigint)
            and (merchant_id, transaction_id) <= (:upto_merchant_id::bigint, :upto_id::bigint)
        order by merchant_id, transaction_id
        limit :size::bigint
    )
    union all
    select t.merchant_id, t.transaction_id, t.payment_id, t.mode, t.status, t.amount_minor, t.currency
    from unnest(:merchant_ids::bigint[], :transaction_ids::bigint[]) as given (merchant_id, transaction_id)
    join transaction t using (merchant_id, transaction_id)
)
select t.merchant_id, t.transaction_id, t.mode::text, t.amount_minor, t.currency, booked.entries, booked.total_minor,
    t.status = 'success' and coalesce(o.moved_minor, t.amount_minor) > 0 as has_moved
from chosen t
left join operation o on o.merchant_id = t.merchant_id and o.transaction_id = t.transaction_id
cross join lateral (
    select count(*) as entries,
        count(*) filter (where e.currency <> t.currency) as foreign_entries,
        coalesce(sum(e.amount_minor), 0)::bigint as total_minor,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'holds.issuers'), 0) as held,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'holds.merchants'), 0) as released,
        coalesce(
            sum(e.amount_minor) filter (where e.debit = 'money.acquirers' and e.credit = 'money.merchants'), 0
        ) as taken,
        coalesce(
            sum(e.amount_minor) filter (where e.debit = 'money.acquirers' and e.credit = 'money.chargebacks'), 0
        ) as won,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'money.merchants'), 0) as undone,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'money.credits'), 0) as credited,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'money.chargebacks'), 0) as charged_back
    from ledger_entry e
    where e.merchant_id = t.merchant_id and e.transaction_id = t.transaction_id
) booked
where case
    when t.amount_minor = 0 or t.status <> 'success' then booked.entries > 0
    when booked.foreign_entries > 0 then true
    when t.mode = 'sale' then booked.entries <> 1 or booked.taken <> t.amount_minor
    when t.mode = 'auth' then booked.entries <> 1 or booked.held <> t.amount_minor
    when t.mode = 'capture'
        then booked.taken <> t.amount_minor or booked.released < t.amount_minor
            or booked.total_minor <> booked.taken + booked.released
            or booked.entries <> 2 + (booked.released > t.amount_minor)::integer
    when t.mode = 'void'
        then booked.entries <> 1 or t.amount_minor not in (booked.released, booked.undone)
    when t.mode = 'credit' then booked.entries <> 1 or booked.credited <> t.amount_minor
    when t.mode = 'chargeback' and o.dispute_step = 'first'
        then booked.entries <> 1 or booked.charged_back <> t.amount_minor
    when t.mode = 'chargeback' and o.dispute_step = 'second'
        then booked.entries > 1 or booked.charged_back <> booked.total_minor or booked.total_minor <> o.moved_minor
            or o.moved_minor > t.amount_minor
    when t.mode = 'chargeback' and o.dispute_step = 'won' then booked.entries <> 1 or booked.won <> t.amount_minor
    when t.mode = 'chargeback' and o.dispute_step is not null then booked.entries > 0
    else true
end
limit :most;

-- name: find_purchase_faults
-- Return captures, voids, refunds and chargebacks that do not fit the entries of their payment. Issuers may take back
-- more than was captured. A won dispute returns at most the amount charged back.
with chosen as materialized (
    (
        select merchant_id, transaction_id, payment_id, mode, status, amount_minor, currency
        from transaction
        where (merchant_id, transaction_id) > (:after_merchant_id::bigint, :after_id::bigint)
            and (merchant_id, transaction_id) <= (:upto_merchant_id::bigint, :upto_id::bigint)
        order by merchant_id, transaction_id
        limit :size::bigint
    )
    union all
    select t.merchant_id, t.transaction_id, t.payment_id, t.mode, t.status, t.amount_minor, t.currency
    from unnest(:merchant_ids::bigint[], :transaction_ids::bigint[]) as given (merchant_id, transaction_id)
    join transaction t using (merchant_id, transaction_id)
)
select t.merchant_id, t.transaction_id, t.payment_id, t.mode::text, t.currency, booked.*
from chosen t
cross join lateral (
    select
        coalesce(sum(e.amount_minor) filter (where e.debit = 'holds.issuers'), 0)::bigint as held_minor,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'holds.merchants'), 0)::bigint as released_minor,
        coalesce(
            sum(e.amount_minor) filter (where e.debit = 'money.acquirers' and e.credit = 'money.merchants'), 0
        )::bigint as taken_minor,
        coalesce(
            sum(e.amount_minor) filter (where e.debit = 'money.acquirers' and e.credit = 'money.chargebacks'), 0
        )::bigint as won_minor,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'money.merchants'), 0)::bigint as undone_minor,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'money.credits'), 0)::bigint as credited_minor,
        coalesce(sum(e.amount_minor) filter (where e.debit = 'money.chargebacks'), 0)::bigint as charged_back_minor
    from transaction other
    join ledger_entry e using (merchant_id, transaction_id)
    where other.merchant_id = t.merchant_id and other.payment_id = t.payment_id
) booked
where t.mode not in ('sale', 'auth') and t.status <> 'pending'
    and (
        released_minor > held_minor
        or t.mode = 'capture' and t.status = 'success' and (taken_minor > held_minor or released_minor <> held_minor)
        or credited_minor + undone_minor > taken_minor
        or won_minor > charged_back_minor
    )
limit :most;

-- name: find_orphans
-- Return entries of transactions that do not exist.
select distinct e.merchant_id, e.transaction_id
from ledger_entry e
where (e.merchant_id, e.transaction_id) > (:after_merchant_id::bigint, :after_id::bigint)
    and (e.merchant_id, e.transaction_id) <= (:upto_merchant_id::bigint, :upto_id::bigint)
    and not exists (
        select from transaction t where t.merchant_id = e.merchant_id and t.transaction_id = e.transaction_id
    )
limit :most;

-- name: select_balances
-- Return debits and credits of each account, by currency, and the number of merchants whose balance is negative.
with own as (
    select merchant_id, currency, account,
        coalesce(sum(amount_minor) filter (where amount_minor > 0), 0) as debits,
        coalesce(-sum(amount_minor) filter (where amount_minor < 0), 0) as credits
    from ledger_line
    group by merchant_id, currency, account
)
select currency, account::text, sum(debits)::bigint as debits_minor, sum(credits)::bigint as credits_minor,
    count(*) filter (where case
        when account in ('holds.merchants', 'money.merchants') then credits < debits
        when account = 'money.acquirers' then false
        else debits < credits
    end) as negative
from own
group by currency, account
order by currency, account;

-- name: count_entries^
-- Count entries and their transactions.
select count(*) as entries, count(*) filter (where number = 1) as transactions from ledger_entry;

-- name: lock_round^
-- Lock the verification until the database transaction ends. Return nothing if another process holds the lock.
select merchant_id, transaction_id from ledger_round for no key update skip locked;

-- name: update_round!
-- Record the position of the round. `is_over` counts the round and starts the next.
update ledger_round
set merchant_id = :merchant_id, transaction_id = :transaction_id, rounds = rounds + :is_over::boolean::integer;

-- name: select_new_facts
-- Return the transactions of events that were numbered since the last run, of the merchant with the largest backlog.
with behind as (
    select c.merchant_id, coalesce(p.proven_sequence, 0) as proven_sequence
    from event_counter c
    left join ledger_proof p using (merchant_id)
    where c.last_sequence > coalesce(p.proven_sequence, 0)
    order by c.last_sequence - coalesce(p.proven_sequence, 0) desc
    limit 1
)
select e.merchant_id, e.transaction_id, e.sequence
from behind
join numbered_event e using (merchant_id)
where e.sequence > behind.proven_sequence
order by e.sequence
limit :limit;

-- name: upsert_verified!
-- Record the last verified event of a merchant.
insert into ledger_proof (merchant_id, proven_sequence)
values (:merchant_id, :sequence)
on conflict (merchant_id) do update set proven_sequence = excluded.proven_sequence;

-- name: delete_violations!
-- Delete the violations of transactions that are verified again.
delete from ledger_violation
where (merchant_id, transaction_id) > (:after_merchant_id::bigint, :after_id::bigint)
    and (merchant_id, transaction_id) <= (:upto_merchant_id::bigint, :upto_id::bigint)
    or (merchant_id, transaction_id) in (
        select * from unnest(:merchant_ids::bigint[], :transaction_ids::bigint[])
    );

-- name: insert_violations!
-- Store violations, up to the maximum.
insert into ledger_violation (merchant_id, transaction_id, fault)
select * from unnest(:merchant_ids::bigint[], :transaction_ids::bigint[], :faults::text[])
where (select count(*) from ledger_violation) < :most::bigint
on conflict do nothing;

-- name: count_violations$
-- Count transactions with violations.
select count(*) from ledger_violation;
