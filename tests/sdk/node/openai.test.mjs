// The official `openai` package for Node, unmodified, against the running product.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const customer = JSON.parse(process.env.TTONK_TEST_CUSTOMER);
const rateHeaders = ["limit", "remaining", "reset"].flatMap((fact) =>
  ["requests", "tokens"].map((what) => `x-ratelimit-${fact}-${what}`),
);

function clientOf(apiKey, options = {}) {
  return new OpenAI({ apiKey, baseURL: customer.base_url, maxRetries: 0, ...options });
}

const client = clientOf(customer.api_key);

function said(script) {
  const content = typeof script === "string" ? script : `script: ${JSON.stringify(script)}`;
  return [{ role: "user", content }];
}

function ask(script, options = {}, from = client) {
  return from.chat.completions.create({
    model: "qwen-turbo",
    messages: said(script),
    ...options,
  });
}

async function received(tag) {
  const answer = await fetch(`${customer.upstream_url}/received?tag=${tag}`);
  return answer.json();
}

async function refusal(promise, type) {
  const error = await promise.then(
    () => assert.fail("no error"),
    (caught) => caught,
  );
  assert.ok(error instanceof type, `${error.constructor.name}: ${error.message}`);
  return error;
}

test("chat answers, with usage and cost", async () => {
  const answer = await ask({ text: "Hello there", chunks: 2 });
  assert.equal(answer.model, "qwen-turbo");
  assert.match(answer.id, /^chatcmpl-/);
  assert.equal(answer.choices[0].message.content, "Hello there");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.total_tokens, 9);
  assert.ok(answer.usage.cost > 0);
});

test("chat brings n choices and tool calls", async () => {
  const several = await ask({ chunks: 2 }, { n: 2 });
  assert.deepEqual(several.choices.map((choice) => choice.index), [0, 1]);
  const call = { name: "get_weather", arguments: '{"city":"Huế"}' };
  const tool = { type: "function", function: { name: "get_weather", parameters: {} } };
  const answer = await ask({ text: "", tool_calls: [call] }, { tools: [tool] });
  assert.equal(answer.choices[0].finish_reason, "tool_calls");
  assert.deepEqual(answer.choices[0].message.tool_calls[0].function, call);
});

test("a stream brings the text and no usage unasked", async () => {
  const ids = new Set();
  let text = "";
  let finish = null;
  for await (const chunk of await ask({ chunks: 5 }, { stream: true })) {
    ids.add(chunk.id);
    text += chunk.choices[0].delta.content ?? "";
    finish = chunk.choices[0].finish_reason ?? finish;
    assert.equal(chunk.usage ?? null, null);
  }
  assert.equal(text, "w0 w1 w2 w3 w4 ");
  assert.equal(finish, "stop");
  assert.equal(ids.size, 1);
});

test("a stream ends with usage where it was asked for", async () => {
  const options = { stream: true, stream_options: { include_usage: true } };
  const chunks = [];
  for await (const chunk of await ask({ chunks: 5 }, options)) chunks.push(chunk);
  const last = chunks.pop();
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, 5);
  assert.ok(chunks.every((chunk) => chunk.usage === null && chunk.choices.length === 1));
});

test("the stream helper puts tool calls together", async () => {
  const call = { name: "get_weather", arguments: '{"city":"Đà Nẵng"}' };
  const tool = { type: "function", function: { name: "get_weather", parameters: {} } };
  const stream = client.chat.completions.stream({
    model: "qwen-plus",
    messages: said({ text: "", tool_calls: [call] }),
    tools: [tool],
  });
  const final = await stream.finalChatCompletion();
  const made = final.choices[0].message.tool_calls[0].function;
  assert.equal(made.name, call.name);
  assert.equal(made.arguments, call.arguments);
});

test("aborting a stream stops the upstream", async () => {
  const tag = `node-${process.pid}`;
  const stream = await ask({ chunks: 500, gap_ms: 20, tag }, { stream: true });
  for await (const _ of stream) break;
  for (let tries = 0; ; tries += 1) {
    const [entry] = await received(tag);
    if (entry.is_disconnected) break;
    assert.ok(tries < 100, "the upstream still streams to nobody");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

test("a stream that breaks off is an error", async () => {
  const stream = await ask(
    { chunks: 9, gap_ms: 20, cut_after: 4, ending: "reset" },
    { stream: true },
  );
  let text = "";
  const reading = (async () => {
    for await (const chunk of stream) text += chunk.choices[0].delta.content ?? "";
  })();
  await refusal(reading, OpenAI.APIError);
  assert.equal(text, "w0 w1 w2 w3 ");
});

test("400: a wrong parameter is named", async () => {
  const error = await refusal(ask("hello", { temperature: 9 }), OpenAI.BadRequestError);
  assert.equal(error.param, "temperature");
  assert.equal(error.type, "invalid_request_error");
});

test("401: a wrong key", async () => {
  const wrong = clientOf("ttonk_sk_nonsense");
  const error = await refusal(ask("hello", {}, wrong), OpenAI.AuthenticationError);
  assert.equal(error.code, "invalid_api_key");
});

test("402: an empty wallet, not retried", async () => {
  const tag = `node-poor-${process.pid}`;
  const poor = clientOf(customer.key_of_the_poor, { maxRetries: 2 });
  const error = await refusal(ask({ tag }, {}, poor), OpenAI.APIError);
  assert.equal(error.status, 402);
  assert.equal(error.type, "insufficient_quota");
  assert.deepEqual(await received(tag), []);
});

test("403: a model outside the key's list", async () => {
  const narrow = clientOf(customer.key_for_turbo);
  const refused = ask("hello", { model: "qwen-max" }, narrow);
  const error = await refusal(refused, OpenAI.PermissionDeniedError);
  assert.equal(error.type, "permission_error");
});

test("404: an unknown model", async () => {
  const error = await refusal(ask("hello", { model: "gpt-17" }), OpenAI.NotFoundError);
  assert.equal(error.code, "model_not_found");
  assert.equal(error.param, "model");
});

test("429: too many requests, with the time to wait", async () => {
  const slow = clientOf(customer.key_once_a_minute);
  const several = (async () => {
    for (let tries = 0; tries < 3; tries += 1) await ask("hello", {}, slow);
  })();
  const error = await refusal(several, OpenAI.RateLimitError);
  assert.equal(error.type, "rate_limit_error");
  assert.ok(Number(error.headers.get("retry-after")) >= 1);
  for (const name of rateHeaders) assert.ok(error.headers.has(name), name);
});

test("5xx: the upstream's trouble in our words", async () => {
  const script = { status: 500, body: { error: { message: "stack trace" } } };
  const error = await refusal(ask(script), OpenAI.InternalServerError);
  assert.equal(error.status, 502);
  assert.equal(error.type, "server_error");
  assert.doesNotMatch(error.message, /stack trace/);
});

test("every answer carries its request id and the limits", async () => {
  const { data, response, request_id: id } = await ask("hello").withResponse();
  assert.equal(data.choices[0].message.content, "You said: hello");
  assert.ok(id);
  for (const name of rateHeaders) assert.ok(response.headers.has(name), name);
});

test("models are listed and retrieved", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  for (const name of ["qwen-turbo", "qwen-plus", "qwen-max", "deepseek-chat", "deepseek-reasoner"]) {
    assert.ok(names.includes(name), name);
  }
  assert.equal((await client.models.retrieve("deepseek-chat")).owned_by, "deepseek");
  await refusal(client.models.retrieve("gpt-17"), OpenAI.NotFoundError);
});
