// Tokenize a card, pay with it through 3-D Secure, and refund: with the types that openapi-typescript makes.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

type Settings = { url: string; key: string; siteId: string; number: string };
declare const process: { env: Record<string, string | undefined> };

const settings = JSON.parse(process.env["TOLLHOUSE_FLOW"] ?? "{}") as Settings;
const client = createClient<paths>({ baseUrl: settings.url, headers: { Authorization: settings.key } });

function check<T>(answer: { data?: T; error?: components["schemas"]["ProblemAnswer"] }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

const { token } = check(
  await client.POST("/tokenize", {
    params: { header: { "x-requested-with": "XMLHttpRequest" } },
    body: {
      number: settings.number,
      expirationMonth: "12",
      expirationYear: "30",
      cvv: "009",
      cardHolder: "Jane Smith",
      zip: "10001",
    },
  }),
);

const asked = check(
  await client.POST("/payment", {
    params: { header: { "X-Request-ID": `flow-${token}` } },
    body: {
      paymentSource: { type: "token", token, "3ds": true },
      sku: {
        siteId: settings.siteId,
        title: "Premium",
        price: [{ offset: "0d", amount: 19.99, currency: "USD", repeat: false }],
      },
      consumer: { id: "user-ts", email: "jane@shop.example", ip: "203.0.113.45" },
      metadata: { cart: "A-1" },
    },
  }),
);
if (asked.payment.action !== "redirect" || asked.payment.url === undefined) throw new Error("no challenge");

const paid = check(
  await client.POST("/stage/3ds/{orderId}", {
    params: { path: { orderId: asked.payment.orderId } },
    body: { result: "pass" },
  }),
);
const refunded = check(
  await client.POST("/payment/{transactionId}/credit", {
    params: { path: { transactionId: paid.payment.transactionId } },
    body: { amount: 5, reason: "Returned goods" },
  }),
);
const rejected = await client.POST("/payment/{transactionId}/credit", {
  params: { path: { transactionId: paid.payment.transactionId } },
  body: { amount: 500, reason: "Too much" },
});

console.log(
  JSON.stringify({
    asked: asked.payment.status,
    paid: paid.payment.status,
    refunded: [refunded.payment.mode, refunded.payment.status, refunded.payment.amount],
    rejected: [rejected.response.status, Object.keys(rejected.error?.errors ?? {})],
  }),
);
