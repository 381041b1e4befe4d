-- Statements of the simulator: journal, balances, authentications, disputes. Locks are acquired in this order.

-- name: insert_entries(references, kinds, masked_numbers, card_names, amounts_minor, currencies, response_codes, advice_codes, approval_codes, network_transaction_ids, cavvs, agreements, acceptors, deliveries)
-- Journal authorizations with new references, sorted by reference, and return their references.
insert into journal (
    reference, kind, masked_number, card_name, amount_minor, currency, response_code, advice_code,
    approval_code, network_transaction_id, cavv, agreement, acceptor, deliveries
)
select * from unnest(
    :references::text[], :kinds::journal_kind[], :masked_numbers::text[], :card_names::text[], :amounts_minor::bigint[],
    :currencies::text[], :response_codes::text[], :advice_codes::text[], :approval_codes::text[],
    :network_transaction_ids::text[], :cavvs::text[], :agreements::text[], :acceptors::text[],
    :deliveries::integer[]
)
on conflict (reference) do nothing
returning reference;

-- name: update_reversed_entries(references, kinds, masked_numbers, card_names, amounts_minor, currencies, response_codes, advice_codes, approval_codes, network_transaction_ids, cavvs, agreements, acceptors, deliveries)
-- Complete authorizations that arrived after their reversal, which stays in effect, and return their references.
update journal
set
    kind = late.kind,
    masked_number = late.masked_number,
    card_name = late.card_name,
    amount_minor = late.amount_minor,
    currency = late.currency,
    response_code = late.response_code,
    advice_code = late.advice_code,
    approval_code = late.approval_code,
    network_transaction_id = late.network_transaction_id,
    cavv = late.cavv,
    agreement = late.agreement,
    acceptor = late.acceptor,
    deliveries = late.deliveries
from unnest(
    :references::text[], :kinds::journal_kind[], :masked_numbers::text[], :card_names::text[], :amounts_minor::bigint[],
    :currencies::text[], :response_codes::text[], :advice_codes::text[], :approval_codes::text[],
    :network_transaction_ids::text[], :cavvs::text[], :agreements::text[], :acceptors::text[],
    :deliveries::integer[]
) as late (
    reference, kind, masked_number, card_name, amount_minor, currency, response_code, advice_code,
    approval_code, network_transaction_id, cavv, agreement, acceptor, deliveries
)
where journal.reference = late.reference and journal.kind = 'reversal'
returning journal.reference;

-- name: update_deliveries(references, kinds, masked_numbers, amounts_minor, currencies, cavvs, agreements, acceptors, deliveries)
-- Count repeated authorizations, and return their first responses. Return nothing for those with different content.
update journal
set deliveries = journal.deliveries + again.deliveries
from unnest(
    :references::text[], :kinds::journal_kind[], :masked_numbers::text[], :amounts_minor::bigint[], :currencies::text[],
    :cavvs::text[], :agreements::text[], :acceptors::text[], :deliveries::integer[]
) as again (reference, kind, masked_number, amount_minor, currency, cavv, agreement, acceptor, deliveries)
where journal.reference = again.reference and journal.kind = again.kind
    and journal.masked_number = again.masked_number
    and journal.amount_minor = again.amount_minor and journal.currency = again.currency
    and journal.cavv is not distinct from again.cavv and journal.agreement is not distinct from again.agreement
    and journal.acceptor = again.acceptor
returning journal.reference, response_code, advice_code, approval_code, network_transaction_id;

-- name: update_operation_deliveries(reference, kind, original_reference, named_reference, amount_minor, currency)^
-- Count a repeated operation, and return its first response. Return nothing if its content differs.
update journal
set deliveries = deliveries + 1
where reference = :reference and kind = :kind and amount_minor = :amount_minor and currency = :currency
    and original_reference in (:original_reference, :named_reference)
returning response_code, advice_code, approval_code, network_transaction_id;

-- name: update_declined(references, response_codes, advice_codes)!
-- Turn new approvals whose condition failed into declines.
update journal
set
    response_code = declined.response_code,
    advice_code = declined.advice_code,
    approval_code = null,
    network_transaction_id = null
from unnest(:references::text[], :response_codes::text[], :advice_codes::text[])
    as declined (reference, response_code, advice_code)
where journal.reference = declined.reference;

-- name: select_agreements(references, agreements, card_names)
-- Return the merchant-initiated charges with a network transaction ID that belongs to a live customer approval of that
-- card.
select distinct shown.reference
from unnest(:references::text[], :agreements::text[], :card_names::text[]) as shown (reference, agreement, card_name)
where exists (
    select
    from journal
    where journal.network_transaction_id = shown.agreement and journal.card_name = shown.card_name
        and journal.agreement is null and journal.approval_code is not null and journal.reversed_at is null
);

-- name: select_tried_enough(references, declines)
-- Return the merchant-initiated charges that follow enough attempts with the card under the same network transaction
-- ID.
select journal.reference
from unnest(:references::text[], :declines::integer[]) as counted (reference, declines)
join journal on journal.reference = counted.reference
where exists (
    select
    from journal earlier
    where earlier.agreement = journal.agreement and earlier.card_name = journal.card_name
        and (earlier.received_at, earlier.reference) < (journal.received_at, journal.reference)
    offset counted.declines - 1
);

-- name: select_entry(reference)^
-- Return one journal row, for an inquiry.
select reference, kind, amount_minor, currency, response_code, advice_code, approval_code, network_transaction_id, reversed_at
from journal
where reference = :reference;

-- name: insert_reversal(reference)$
-- Record the reversal of an unknown reference. Return nothing if the reference is known.
insert into journal (reference, kind, deliveries, reversed_at)
values (:reference, 'reversal', 0, now())
on conflict (reference) do nothing
returning reference;

-- name: update_reversed(reference)^
-- Reverse an authorization once, and return its amount. Return nothing if it was reversed before.
update journal
set reversed_at = now()
where reference = :reference and reversed_at is null
returning reference, kind, masked_number, card_name, acceptor, currency, amount_minor, approval_code, reversed_at, captured_minor,
    released_minor, credited_minor, voided_at, original_reference;

-- name: select_original_of(reference)$
-- Return the reference that an operation acts on. Return nothing for an authorization or an unknown reference.
select original_reference from journal where reference = :reference;

-- name: select_original(original_reference)^
-- Return the card and the merchant of an authorization or sale, or of the one that a capture belongs to.
select card_name, masked_number, acceptor
from journal
where reference = coalesce(
    (select original_reference from journal where reference = :original_reference and kind = 'capture'), :original_reference
);

-- name: lock_original(original_reference)^
-- Lock and return an authorization or sale, or the one that a capture belongs to, until the database transaction ends.
select reference, kind, masked_number, card_name, acceptor, currency, amount_minor, approval_code, reversed_at, captured_minor,
    released_minor, credited_minor, voided_at, original_reference
from journal
where reference = coalesce(
    (select original_reference from journal where reference = :original_reference and kind = 'capture'), :original_reference
)
for no key update;

-- name: insert_operation(reference, kind, original_reference, masked_number, card_name, acceptor, amount_minor, currency, response_code, approval_code)$
-- Journal a capture, void or refund. Return nothing if its reference is known.
insert into journal (
    reference, kind, original_reference, masked_number, card_name, acceptor, amount_minor, currency, response_code,
    approval_code, deliveries
)
values (
    :reference, :kind, :original_reference, :masked_number, :card_name, :acceptor, :amount_minor, :currency, :response_code,
    :approval_code, 1
)
on conflict (reference) do nothing
returning reference;

-- name: update_reversed_operation(reference, kind, original_reference, masked_number, card_name, acceptor, amount_minor, currency, response_code, approval_code)$
-- Complete an operation that arrived after its reversal, which stays in effect. Returns no row without a reversal.
update journal
set
    kind = :kind,
    original_reference = :original_reference,
    masked_number = :masked_number,
    card_name = :card_name,
    acceptor = :acceptor,
    amount_minor = :amount_minor,
    currency = :currency,
    response_code = :response_code,
    approval_code = :approval_code,
    deliveries = 1
where reference = :reference and kind = 'reversal'
returning reference;

-- name: update_position(reference, captured_minor, released_minor, credited_minor, is_voided)!
-- Change the amounts of an authorization or sale, and set whether it is voided.
update journal
set
    captured_minor = captured_minor + :captured_minor,
    released_minor = released_minor + :released_minor,
    credited_minor = credited_minor + :credited_minor,
    voided_at = case when :is_voided then coalesce(voided_at, now()) end
where reference = :reference;

-- name: select_journal(acceptor, row_limit)
-- Return the newest journal rows first, of one merchant or of all.
select
    reference, kind, original_reference, masked_number, card_name, amount_minor, currency, response_code, advice_code,
    approval_code, network_transaction_id, agreement, captured_minor, released_minor, credited_minor, cavv, deliveries,
    received_at, reversed_at, voided_at
from journal
where :acceptor::text is null or (acceptor = :acceptor and acceptor <> '')
order by received_at desc, reference desc
limit :row_limit;

-- name: insert_balance(card_name, currency, amount_minor)!
-- Set the published balance of a card at its first use.
insert into balance (card_name, currency, amount_minor)
values (:card_name, :currency, :amount_minor)
on conflict (card_name) do nothing;

-- name: update_balance_taken(card_name, amount_minor)$
-- Subtract an amount from a balance if it is sufficient, and return the rest.
update balance
set amount_minor = amount_minor - :amount_minor
where card_name = :card_name and amount_minor >= :amount_minor
returning amount_minor;

-- name: update_balance_returned(card_name, amount_minor)!
-- Add an amount to a balance. A card without a balance has no row.
update balance
set amount_minor = amount_minor + :amount_minor
where card_name = :card_name;

-- name: update_proofs_spent(references, cavvs, ecis, ds_trans_ids, card_names, amounts_minor, currencies)
-- Use up authentication values that are genuine, unused, and for this card and amount. Return the references of the
-- matches.
update authentication
set spent_by = claim.reference
from unnest(
    :references::text[], :cavvs::text[], :ecis::text[], :ds_trans_ids::text[], :card_names::text[], :amounts_minor::bigint[],
    :currencies::text[]
) as claim (reference, cavv, eci, ds_trans_id, card_name, amount_minor, currency)
where authentication.cavv = claim.cavv
    and authentication.spent_by is null
    and authentication.eci = claim.eci
    and authentication.ds_trans_id::text = lower(claim.ds_trans_id)
    and authentication.card_name = claim.card_name
    and authentication.amount_minor = claim.amount_minor
    and authentication.currency = claim.currency
returning claim.reference;

-- name: update_note_spent(reference, card_name, amount_minor, currency)$
-- Use up one U or I response of the last 15 minutes for this card and amount.
update authentication
set spent_by = :reference
where acs_trans_id = (
    select acs_trans_id
    from authentication
    where card_name = :card_name
        and cavv is null
        and spent_by is null
        and final_status in ('U', 'I')
        and amount_minor = :amount_minor
        and currency = :currency
        and created_at > now() - interval '15 minutes'
    order by created_at
    limit 1
    for update skip locked
)
returning acs_trans_id;

-- name: insert_authentication(acs_trans_id, ds_trans_id, threeds_server_trans_id, message_version, message_category, card_name, masked_number, brand, amount_minor, currency, merchant_name, notification_url, threeds_server_url, first_status, final_status, status_reason, eci, cavv, life_seconds)^
-- Store a new authentication. Return nothing if its AReq is known.
insert into authentication (
    acs_trans_id, ds_trans_id, threeds_server_trans_id, message_version, message_category, card_name, masked_number, brand,
    amount_minor, currency, merchant_name, notification_url, threeds_server_url, first_status, final_status, status_reason,
    eci, cavv, expires_at
)
values (
    :acs_trans_id, :ds_trans_id, :threeds_server_trans_id, :message_version, :message_category, :card_name, :masked_number,
    :brand, :amount_minor, :currency, :merchant_name, :notification_url, :threeds_server_url, :first_status, :final_status,
    :status_reason, :eci, :cavv, now() + make_interval(secs => :life_seconds)
)
on conflict (threeds_server_trans_id) do nothing
returning *;

-- name: select_authentication_by_server(threeds_server_trans_id)^
-- Return the authentication of a repeated AReq.
select * from authentication where threeds_server_trans_id = :threeds_server_trans_id;

-- name: select_authentication(acs_trans_id)^
-- Return one authentication.
select * from authentication where acs_trans_id = :acs_trans_id;

-- name: update_opened(acs_trans_id, life_seconds)^
-- Record the first CReq, which restarts the time to answer.
update authentication
set opened_at = now(), expires_at = now() + make_interval(secs => :life_seconds)
where acs_trans_id = :acs_trans_id and opened_at is null and final_status is null and expires_at > now()
returning *;

-- name: update_wrong_code(acs_trans_id, attempt)^
-- Count a wrong code, unless the page is outdated. The third one ends the challenge.
update authentication
set
    wrong_codes = wrong_codes + 1,
    final_status = case when wrong_codes = 2 then 'N' end,
    status_reason = case when wrong_codes = 2 then '19' end
where acs_trans_id = :acs_trans_id and wrong_codes = :attempt and final_status is null and expires_at > now()
returning *;

-- name: update_final(acs_trans_id, final_status, status_reason, eci, cavv, challenge_cancel)^
-- Decide an open challenge in time. Return nothing if it is decided or late.
update authentication
set
    final_status = :final_status,
    status_reason = :status_reason,
    eci = :eci,
    cavv = :cavv,
    challenge_cancel = :challenge_cancel
where acs_trans_id = :acs_trans_id and final_status is null and expires_at > now()
returning *;

-- name: update_expired(acs_trans_id)^
-- End an expired challenge: 05 if its page was never opened, else 04 (EMV 3DS, Challenge Cancelation Indicator).
update authentication
set final_status = 'N', status_reason = '14', challenge_cancel = case when opened_at is null then '05' else '04' end
where acs_trans_id = :acs_trans_id and final_status is null and expires_at <= now()
returning *;

-- name: update_timed_out(acs_trans_id)^
-- Expire an open challenge now.
update authentication
set
    final_status = 'N',
    status_reason = '14',
    challenge_cancel = case when opened_at is null then '05' else '04' end,
    expires_at = least(expires_at, now())
where acs_trans_id = :acs_trans_id and final_status is null
returning *;

-- name: update_reported(acs_trans_id)!
-- Record that the 3DS Server acknowledged the result.
update authentication
set reported_at = coalesce(reported_at, now())
where acs_trans_id = :acs_trans_id;

-- name: select_unfinished(row_limit)
-- Return the work of a restart: results of the last day without acknowledgment, and decoupled authentications without a
-- result.
select *
from authentication
where first_status in ('C', 'D')
    and reported_at is null
    and created_at > now() - interval '1 day'
    and (final_status is not null or first_status = 'D')
order by created_at
limit :row_limit;

-- name: insert_test_data(merchant_id, type, number, currency, allowed_ips, emulates_3ds, is_expired, comment, request_key, request_digest, at)$
-- Store test payment data. Return nothing if the number or the request has a row.
insert into test_data (
    merchant_id, type, number, currency, allowed_ips, emulates_3ds, is_expired, comment, request_key, request_digest,
    created_at, updated_at
)
values (
    :merchant_id, :type, :number, :currency, :allowed_ips::text[], :emulates_3ds, :is_expired, :comment, :request_key,
    :request_digest, coalesce(:at::timestamptz, now()), coalesce(:at::timestamptz, now())
)
on conflict do nothing
returning test_data_id;

-- name: select_test_data_by_request(merchant_id, request_key)^
-- Return the data that a request created before, deleted or not.
select test_data_id, request_digest from test_data where merchant_id = :merchant_id and request_key = :request_key;

-- name: select_test_data(merchant_id, test_data_id, is_deleted_too)^
-- Return one row with the card's balance and its number of charges.
select
    test_data.*,
    balance.amount_minor as balance_minor,
    (
        select count(*)
        from journal
        where card_name = balance.card_name and card_name like 'test-%'
            and approval_code is not null and kind in ('sale', 'authorization')
    ) as transactions
from test_data
join balance on balance.card_name = 'test-' || test_data.test_data_id
where merchant_id = :merchant_id and test_data_id = :test_data_id and (deleted_at is null or :is_deleted_too);

-- name: select_test_data_list(merchant_id, type, row_limit, row_offset)
-- Return a merchant's rows, newest first, of one type or of any.
select
    test_data.*,
    balance.amount_minor as balance_minor,
    (
        select count(*)
        from journal
        where card_name = balance.card_name and card_name like 'test-%'
            and approval_code is not null and kind in ('sale', 'authorization')
    ) as transactions
from test_data
join balance on balance.card_name = 'test-' || test_data.test_data_id
where merchant_id = :merchant_id and deleted_at is null and (:type::test_data_type is null or type = :type)
order by test_data_id desc
limit :row_limit
offset :row_offset;

-- name: count_test_data(merchant_id, type)$
-- Count a merchant's rows, of one type or of any.
select count(*)
from test_data
where merchant_id = :merchant_id and deleted_at is null and (:type::test_data_type is null or type = :type);

-- name: update_test_data(merchant_id, test_data_id, allowed_ips, emulates_3ds, is_blocked, at)$
-- Update the given fields of a row. Return nothing if it does not exist.
update test_data
set
    allowed_ips = coalesce(:allowed_ips::text[], allowed_ips),
    emulates_3ds = coalesce(:emulates_3ds, emulates_3ds),
    is_blocked = coalesce(:is_blocked, is_blocked),
    updated_at = coalesce(:at::timestamptz, now())
where merchant_id = :merchant_id and test_data_id = :test_data_id and deleted_at is null
returning test_data_id;

-- name: update_test_data_deleted(merchant_id, test_data_id)$
-- Delete a row. Return nothing if it does not exist.
update test_data
set deleted_at = now()
where merchant_id = :merchant_id and test_data_id = :test_data_id and deleted_at is null
returning test_data_id;

-- name: update_balance(card_name, amount_minor)!
-- Set the balance of a card.
update balance set amount_minor = :amount_minor where card_name = :card_name;

-- name: select_test_cards(masked_number, row_limit)
-- Return merchants' test cards whose masked numbers are alike, with the fields that the issuer needs.
select test_data_id, type, number, currency, allowed_ips, emulates_3ds, is_blocked, is_expired
from test_data
where masked_number = :masked_number and deleted_at is null and type <> 'sepa'
limit :row_limit;

-- name: insert_disputes(references, original_references, acceptors, transacted_at, after_days, reason)!
-- Schedule disputes, in days of 24 hours after the transaction.
insert into dispute (reference, original_reference, acceptor, reason, due_at)
select
    booked.reference, booked.original_reference, booked.acceptor, :reason,
    coalesce(booked.transacted_at, now()) + make_interval(hours => 24 * booked.after_days)
from unnest(
    :references::text[], :original_references::text[], :acceptors::text[], :transacted_at::timestamptz[], :after_days::integer[]
) as booked (reference, original_reference, acceptor, transacted_at, after_days)
on conflict (reference) do nothing;

-- name: select_disputes(acceptor, until, acceptors_ahead, untils_ahead, after, row_limit)
-- Open due disputes, in the order of their due times, with the amount that is left to take back: of one merchant or of
-- all, after the given one. Merchants whose clocks are ahead have instants of their own.
select d.dispute_id, d.acceptor, d.reference, d.reason, d.due_at, j.currency, remaining.amount_minor
from dispute d
join journal j on j.reference = d.original_reference
cross join lateral (
    select (case j.kind when 'sale' then j.amount_minor else j.captured_minor end) - j.credited_minor as amount_minor
) remaining
left join unnest(:acceptors_ahead::text[], :untils_ahead::timestamptz[]) as ahead (acceptor, until)
    on ahead.acceptor = d.acceptor
where d.taken_at is null
    and d.due_at <= coalesce(ahead.until, :until)
    and (:acceptor::text is null or d.acceptor = :acceptor)
    and (
        :after::uuid is null
        or (d.due_at, d.dispute_id) > (select due_at, dispute_id from dispute where dispute_id = :after)
    )
    and j.reversed_at is null and j.voided_at is null and remaining.amount_minor > 0
order by d.due_at, d.dispute_id
limit :row_limit;

-- name: update_disputes_taken(dispute_ids)
-- Record the acknowledgment of disputes, and return those that exist.
update dispute
set taken_at = coalesce(taken_at, now())
where dispute_id = any(:dispute_ids::uuid[])
returning dispute_id;
