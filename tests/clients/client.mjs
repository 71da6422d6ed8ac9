// Sends the requests that stdin describes, and prints what came of each as a line of JSON: see README.md.

import fs from "node:fs";
import http2 from "node:http2";
import https from "node:https";
import { setTimeout as sleep } from "node:timers/promises";

const PIECE = 8 * 1024;
const PATIENCE_MS = 20_000;

// A line of stdin.
function parse(line) {
  const options = Object.fromEntries(line.split("\t").map((option) => option.split(/=(.*)/s)));
  const file = (name) => (options[name] ? fs.readFileSync(options[name]) : undefined);
  const size = Number(options.size);
  const headers = {};
  if (options.type) headers["content-type"] = options.type;
  if (options.body === "length") headers["content-length"] = size;
  if (options.expect) headers.expect = "100-continue";
  const tls = { ca: file("ca"), cert: file("cert"), key: file("key") };
  const text = Buffer.from('{"replicas":4}'.padEnd(size).slice(0, size));
  return { ...options, url: new URL(options.url), tls, headers, text };
}

// Writes the body, late and little by little; where 100 Continue is expected, only once it came.
async function write(stream, options) {
  if (options.text.length === 0 && !options.expect) return stream.end();
  if (options.expect) await new Promise((resolve) => stream.once("continue", resolve));
  await sleep(Number(options.pause));
  for (let start = 0; start < options.text.length && stream.writable; start += PIECE) {
    stream.write(options.text.subarray(start, start + PIECE));
    await sleep(0);
  }
  stream.end();
}

// Reads an answer's body to its end.
function read(stream, answer, resolve) {
  let body = "";
  stream.setEncoding("utf8");
  stream.on("data", (piece) => (body += piece));
  stream.on("end", () => resolve({ ...answer, body }));
}

class Http1 {
  constructor(options) {
    this.agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...options.tls });
  }

  send(options) {
    return new Promise((resolve, reject) => {
      const headers = { ...options.headers };
      if (["stream", "trailers"].includes(options.body)) headers["transfer-encoding"] = "chunked";
      if (options.body === "trailers") headers.trailer = "x-end";
      const request = https.request(options.url, { agent: this.agent, method: options.method, headers });
      request.on("error", reject);
      request.on("response", (response) => {
        response.on("error", reject);
        read(response, { status: response.statusCode, protocol: "h1", headers: response.headers }, resolve);
      });
      if (options.body === "trailers") request.addTrailers({ "x-end": "yes" });
      if (options.body !== "none") request.flushHeaders();
      write(request, options).catch(reject);
    });
  }

  close() {
    this.agent.destroy();
  }
}

class Http2 {
  constructor(options) {
    this.session = http2.connect(options.url.origin, options.tls);
  }

  send(options) {
    return new Promise((resolve, reject) => {
      this.session.on("error", reject);
      const head = { ":method": options.method, ":path": options.url.pathname + options.url.search, ...options.headers };
      const ends = { endStream: options.body === "none", waitForTrailers: options.body === "trailers" };
      const stream = this.session.request(head, ends);
      // What ends the session says more than what that does to the stream.
      stream.on("error", (error) => setTimeout(reject, 100, error));
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "yes" }));
      stream.on("response", (all) => {
        const headers = Object.fromEntries(Object.entries(all).filter(([name]) => !name.startsWith(":")));
        read(stream, { status: all[":status"], protocol: "h2", headers }, resolve);
      });
      if (options.body !== "none") write(stream, options).catch(reject);
    });
  }

  close() {
    this.session.destroy();
  }
}

async function bounded(work) {
  const patience = new AbortController();
  const timeout = sleep(PATIENCE_MS, { error: "timeout" }, { signal: patience.signal });
  timeout.catch(() => {});
  const failed = (error) => ({ error: `${error.code}: ${error.message}` });
  const result = await Promise.race([work.catch(failed), timeout]);
  patience.abort();
  return result;
}

for (const line of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const options = parse(line);
  let client;
  for (let tries = 0; tries < Number(options.tries); tries++) {
    client ??= options.protocol === "h2" ? new Http2(options) : new Http1(options);
    console.log(JSON.stringify(await bounded(client.send(options))));
    if (!options.kept) {
      client.close();
      client = undefined;
    }
  }
  client?.close();
}
process.exit(0);
