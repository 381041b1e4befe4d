#!/usr/bin/env bash
# The commands of the public quickstart, with host and key replaced and nothing else. Usage: quickstart.sh COMMAND [ID]
# HOST and KEY come from the environment. COMMAND is tokenize, pay-by-token, pay-by-card, pay-by-account or
# pay-by-consumer; the last three but one take an id that an earlier answer gave.
set -euo pipefail

SKU='"sku": {
        "title": "Premium Monthly",
        "siteId": "983759353",
        "price": [
            {
                "offset": "0d",
                "amount": 19.99,
                "currency": "USD",
                "repeat": false
            }
        ]
    },
    "consumer": {
        "id": "user-00123",
        "email": "[email protected]",
        "firstName": "Jane",
        "lastName": "Smith",
        "country": "USA",
        "ip": "203.0.113.45"
    }'
NAMED_SKU='"sku": {
        "name": "PREMIUM_MONTHLY"
    }'
URLS='"url": {
        "ipnUrl": "https://your-server.example.com/webhooks/centrobill",
        "redirectUrl": "https://your-server.example.com/payment/success"
    }'

pay() {
    curl --silent --show-error --fail-with-body --write-out '\n%{http_code}\n' --request POST \
        --url "$HOST/payment" \
        --header "Authorization: $KEY" \
        --header 'Content-Type: application/json' \
        --data "$1"
}

case "$1" in
tokenize)
    curl --silent --show-error --fail-with-body --write-out '\n%{http_code}\n' --request POST \
        --url "$HOST/tokenize" \
        --header 'Content-Type: application/json' \
        --header 'x-requested-with: XMLHttpRequest' \
        --data '{
    "number": "4024007179366348",
    "expirationYear": "25",
    "expirationMonth": "12",
    "cvv": "009",
    "cardHolder": "Jane Smith",
    "zip": "10001"
}'
    ;;
pay-by-token)
    pay '{
    "paymentSource": {
        "type": "token",
        "token": "'"$2"'"
    },
    '"$SKU"',
    '"$URLS"'
}'
    ;;
pay-by-card)
    pay '{
    "paymentSource": {
        "type": "card",
        "number": "4024007179366348",
        "expirationMonth": "12",
        "expirationYear": "25",
        "cvv": "009",
        "cardHolder": "Jane Smith"
    },
    '"$SKU"',
    '"$URLS"'
}'
    ;;
pay-by-account)
    pay '{
    "paymentSource": {
        "type": "paymentAccountId",
        "paymentAccountId": "'"$2"'"
    },
    '"$NAMED_SKU"',
    "consumer": {
        "id": "'"$3"'",
        "ip": "203.0.113.45"
    },
    '"$URLS"'
}'
    ;;
pay-by-consumer)
    pay '{
    "paymentSource": {
        "type": "consumer",
        "id": "'"$2"'"
    },
    '"$NAMED_SKU"',
    "consumer": {
        "id": "'"$2"'",
        "ip": "203.0.113.45"
    },
    '"$URLS"'
}'
    ;;
esac
