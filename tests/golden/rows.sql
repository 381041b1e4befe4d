-- Rows of a flow, told in the words of the wire, one JSON object a row. A change of the schema adapts these queries and nothing
-- else of the corpus: their results stay. Secrets, sealed cards and digests are told by whether they are there.

-- name: payments
select json_build_object(
    'orderId', payment_id, 'siteId', site_id, 'consumerId', consumer_id, 'metadata', metadata, 'ipnUrl', ipn_url,
    'redirectUrl', redirect_url, 'requestId', request_id, 'createdAt', created_at
)
from payment order by payment_id;

-- name: transactions
select json_build_object(
    'transactionId', transaction_id, 'orderId', payment_id, 'mode', mode, 'status', status, 'amountMinor', amount_minor,
    'currency', currency, 'initiator', initiator, 'reason', reason, 'code', code, 'cardId', account_id,
    'cardNumber', masked_number, 'networkTransactionId', network_transaction_id, 'pageTry', page_try,
    'createdAt', created_at, 'isFinished', finished_at is not null
)
from transaction order by transaction_id;

-- name: attempts
select json_build_object(
    'transactionId', transaction_id, 'number', number, 'acquirer', acquirer, 'reference', reference, 'state', state,
    'responseCode', response_code, 'adviceCode', advice_code, 'approvalCode', approval_code,
    'hasCard', sealed_card is not null, 'isWatched', resolve_at is not null, 'inquiries', inquiries
)
from attempt order by transaction_id, number;

-- name: reversals
select json_build_object(
    'transactionId', transaction_id, 'number', number, 'acquirer', acquirer, 'reference', reference, 'reason', reason,
    'isApproved', approved_at is not null, 'isAcknowledged', acknowledged_at is not null
)
from reversal order by transaction_id, number;

-- name: operations
select json_build_object(
    'transactionId', transaction_id, 'orderId', payment_id, 'originalId', basis_id, 'originalMode', basis_mode, 'cause', cause,
    'reason', reason, 'requestId', request_id, 'disputeStep', dispute_step, 'movedMinor', moved_minor,
    'excessMinor', excess_minor
)
from operation order by transaction_id;

-- name: holds
select json_build_object(
    'transactionId', transaction_id, 'orderId', payment_id, 'captureAt', capture_at, 'expiresAt', expires_at, 'tries', tries
)
from authorization_hold order by transaction_id;

-- name: ledger
select json_build_object(
    'transactionId', transaction_id, 'number', number, 'debit', debit, 'credit', credit, 'amountMinor', amount_minor,
    'currency', currency
)
from ledger_entry order by transaction_id, number;

-- name: events
select json_build_object(
    'eventId', coalesce(event_id, position), 'orderId', payment_id, 'transactionId', transaction_id, 'subscriptionId', subscription_id,
    'siteId', site_id, 'kind', kind, 'status', status, 'url', url, 'format', format, 'requestId', request_id,
    'sequence', sequence, 'body', convert_from(body, 'UTF8')
)
from event left join event_number using (merchant_id, position) order by transaction_id, subscription_id, created_at, event_id;

-- name: deliveries
select json_build_object(
    'eventId', d.event_id, 'number', d.number, 'form', d.form, 'url', d.url, 'state', d.state, 'attempts', d.attempts
)
from delivery d join event e using (merchant_id, position)
order by e.transaction_id, e.subscription_id, e.created_at, d.event_id, d.number;

-- name: claims
select json_build_object(
    'merchantId', merchant_id, 'operation', operation, 'requestId', request_id, 'orderId', payment_id,
    'transactionId', transaction_id, 'status', coalesce(status, case when recorded is not null then 201 end),
    'answer', convert_from(coalesce(answer, recorded), 'UTF8')
)
from request_claim, final_response_v1(merchant_id, payment_id, transaction_id) as recorded
order by created_at, operation, request_id;

-- name: cards
select json_build_object(
    'cardId', account_id, 'consumerId', consumer_id, 'brand', brand, 'number', masked_number, 'expiryMonth', expiry_month,
    'expiryYear', expiry_year, 'isDisabled', disabled, 'networkTransactionId', network_transaction_id,
    'replacedBy', replaced_by
)
from account order by created_at, masked_number;

-- name: consumers
select json_build_object(
    'consumerId', consumer_id, 'externalId', external_id, 'profile', profile, 'lastCardId', last_account_id,
    'groupId', group_id, 'hasPaid', has_paid
)
from consumer order by created_at, external_id;

-- name: tokens
select json_build_object(
    'merchantId', merchant_id, 'usedBy', used_by, 'cardId', account_id, 'hasCard', sealed_card is not null
)
from token order by expires_at, used_by;

-- name: security_codes
select json_build_object('expiresAt', expires_at) from security_code order by expires_at;

-- name: authentications
select json_build_object(
    'orderId', payment_id, 'transactionId', transaction_id, 'attempt', attempt_number, 'number', number, 'state', state,
    'version', version, 'transStatus', trans_status, 'statusReason', status_reason, 'eci', eci,
    'hasCavv', cavv is not null, 'challengeIndicator', challenge_indicator, 'browser', browser
)
from authentication order by transaction_id, number;

-- name: subscriptions
select json_build_object(
    'subscriptionId', subscription_id, 'orderId', payment_id, 'siteId', site_id, 'consumerId', consumer_id,
    'cardId', account_id, 'skuName', sku_name, 'title', title, 'status', status, 'prices', prices, 'nextPrices', next_prices,
    'cycle', cycle, 'nextPeriod', next_period, 'tries', tries, 'renewalAt', renewal_at, 'chargeAt', charge_at,
    'chargedAt', charged_at, 'paidUntil', paid_until, 'cancelAt', cancel_at, 'cancelReason', cancel_reason,
    'tellsConsumer', tells_consumer, 'beganAsTrial', began_as_trial, 'waitsForCard', waits_for_account,
    'isRevoked', is_revoked, 'endedWith', ended_with, 'networkTransactionId', network_transaction_id
)
from subscription order by subscription_id;

-- name: renewals
select json_build_object(
    'transactionId', transaction_id, 'orderId', payment_id, 'subscriptionId', subscription_id, 'period', period, 'try', try,
    'cardId', account_id, 'state', state, 'dueAt', due_at, 'code', code, 'adviceCode', advice_code, 'isDecline', is_decline,
    'refusesCard', refuses_card
)
from renewal order by transaction_id;

-- name: payment_links
select json_build_object(
    'orderId', payment_id, 'requestId', request_id, 'createdAt', created_at, 'expiresAt', expires_at
)
from payment_link order by payment_id;

-- name: emails
select json_build_object(
    'transactionId', transaction_id, 'subscriptionId', subscription_id, 'recipient', recipient, 'language', language,
    'facts', facts, 'state', state
)
from notice order by notice_id;

-- name: velocity
select json_build_object('kind', kind, 'isDecline', is_decline, 'transactionId', transaction_id)
from velocity_mark order by noted_at, transaction_id, kind, is_decline;

-- name: sign_ins
select json_build_object('address', address, 'isAccepted', is_accepted) from sign_in order by signed_in_at;

-- name: undelivered
select position::text from event e
where position in (select position from unnumbered_event)
    or exists (
        select from delivery d
        where d.merchant_id = e.merchant_id and d.position = e.position
            and (d.state in ('held', 'leased') or d.state = 'waiting' and d.attempts = 0)
    );
