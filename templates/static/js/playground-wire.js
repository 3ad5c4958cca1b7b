// The playground's calls: a key for the next minutes, held in memory alone, and the stream itself.

const RENEW_MS = 60_000; // a key that ends sooner is renewed before it is used
const RECEIPT_TRIES = 20;
const RECEIPT_PAUSE_MS = 400;

/** What went wrong, as a word of the page's list, with what else there is to say. */
export class Trouble extends Error {
  constructor(word, { detail = "", seconds = 0, link = "" } = {}) {
    super(word);
    Object.assign(this, { word, detail, seconds, link });
  }
}

const BUSY = new Set(["overloaded", "ledger_unavailable", "no_gateway"]);

/** An answer with an error's status as a `Trouble`. */
export function troubleOf(status, error, headers) {
  const detail = error?.message ?? "";
  if (status === 400) return new Trouble("invalid", { detail });
  if (status === 401) return new Trouble("no_key");
  if (status === 402) return new Trouble("balance", { detail, link: "billing" });
  if (status === 403) {
    const isSuspended = error?.code === "organization_suspended";
    return isSuspended ? new Trouble("suspended") : new Trouble("no_role", { detail });
  }
  if (status === 404) return new Trouble("gone", { link: "models" });
  if (status === 413) return new Trouble("too_large", { detail });
  if (status === 429) {
    const seconds = Math.max(1, Number(headers?.get("retry-after")) || 1);
    return new Trouble("limited", { seconds, link: "plans" });
  }
  if (BUSY.has(error?.code)) return new Trouble("busy");
  if (status >= 502) return new Trouble("provider", { detail, link: "status" });
  return new Trouble("unknown", { detail, link: "status" });
}

export class Wire {
  #key = null; // {secret, project, until}

  constructor(data, csrf) {
    this.data = data;
    this.csrf = csrf;
  }

  /** The streamed answer to `body`. Raises a `Trouble`; a key that has just ended is replaced. */
  async open(body, project, signal) {
    let response = await this.#post(body, await this.#secret(project, signal), signal);
    if (response.status === 401) {
      this.#key = null;
      response = await this.#post(body, await this.#secret(project, signal), signal);
    }
    if (response.ok) return response;
    const answer = await response.json().catch(() => ({}));
    throw troubleOf(response.status, answer.error, response.headers);
  }

  /** What the request was charged for, once it is settled; null where that takes too long. */
  async receipt(requestId) {
    const url = this.data.turnUrl.replace("ID", encodeURIComponent(requestId));
    for (let tried = 0; tried < RECEIPT_TRIES; tried += 1) {
      const response = await fetch(url).catch(() => null);
      if (response?.ok) return response.json();
      await new Promise((resolve) => setTimeout(resolve, RECEIPT_PAUSE_MS));
    }
    return null;
  }

  async #secret(project, signal) {
    const key = this.#key;
    if (key && key.project === project && Date.now() < key.until - RENEW_MS) return key.secret;
    const response = await reach(this.data.keyUrl, {
      method: "POST",
      headers: { "X-CSRFToken": this.csrf, "Content-Type": "application/x-www-form-urlencoded" },
      body: new URLSearchParams({ project }),
      redirect: "error", // to the sign-in page: there is no session any more
      signal,
    }, "no_key");
    if (response.status === 429) throw new Trouble("too_many_keys");
    if (!response.ok) throw new Trouble("no_key");
    const made = await response.json();
    this.#key = { secret: made.key, project, until: Date.now() + made.seconds * 1000 };
    return made.key;
  }

  #post(body, secret, signal) {
    return reach("/v1/chat/completions", {
      method: "POST",
      headers: { Authorization: `Bearer ${secret}`, "Content-Type": "application/json" },
      body: JSON.stringify(body),
      credentials: "omit",
      signal,
    }, "offline");
  }
}

async function reach(url, options, word) {
  try {
    return await fetch(url, options);
  } catch (error) {
    if (options.signal.aborted) throw error;
    throw new Trouble(word);
  }
}

/** The `data:` payloads of a stream of server-sent events, up to `[DONE]`; raises without one. */
export async function* payloads(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Trouble("broke_off");
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      if (line === "data: [DONE]") return;
      if (line.startsWith("data: ")) yield JSON.parse(line.slice(6));
    }
  }
}
