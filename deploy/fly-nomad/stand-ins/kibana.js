// A stub in Kibana's place, which says so: it listens where kibana.yml says, lets in whom Elasticsearch lets in, and keeps
// imported saved objects in memory. It renders nothing and checks nothing of them.
"use strict";
const fs = require("fs");
const http = require("http");

const configuration = {};
for (const line of fs.readFileSync("/usr/share/kibana/config/kibana.yml", "utf8").split("\n")) {
  const [, key, value] = /^([\w.]+): (.*)$/.exec(line) ?? [];
  if (key) {
    configuration[key] = value.replace(/\$\{(\w+)\}/g, (_, name) => {
      if (!process.env[name]) throw new Error(`${key} needs ${name} in the environment`);
      return process.env[name];
    });
  }
}
const [elasticsearch] = JSON.parse(configuration["elasticsearch.hosts"]);
const own = "Basic " + Buffer.from(
  `${configuration["elasticsearch.username"]}:${configuration["elasticsearch.password"]}`).toString("base64");
const objects = new Map();

async function allowed(authorization) {
  const answer = await fetch(`${elasticsearch}/_security/_authenticate`, { headers: { authorization } });
  return answer.ok;
}

async function body(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

// The one file of a form, line by line.
function imported(request, bytes) {
  const boundary = "--" + /boundary=(.*)$/.exec(request.headers["content-type"])[1];
  const part = bytes.toString().split(boundary)[1];
  const lines = part.slice(part.indexOf("\r\n\r\n") + 4).trim().split("\n").map((line) => JSON.parse(line));
  for (const object of lines) objects.set(`${object.type}/${object.id}`, object);
  return { success: true, successCount: lines.length, warnings: [] };
}

async function answer(request) {
  const path = new URL(request.url, "http://kibana").pathname;
  if (path === "/api/status") {
    const level = (await allowed(own)) ? "available" : "critical";
    return [level === "available" ? 200 : 503, { status: { overall: { level, summary: "a stub, not Kibana" } } }];
  }
  if (!(await allowed(request.headers.authorization ?? ""))) return [401, { statusCode: 401, error: "Unauthorized" }];
  if (request.method === "POST" && path === "/api/saved_objects/_import") {
    if (!request.headers["kbn-xsrf"]) return [400, { statusCode: 400, error: "kbn-xsrf is missing" }];
    return [200, imported(request, await body(request))];
  }
  if (path === "/api/saved_objects/_find") return [200, { total: objects.size, saved_objects: [...objects.values()] }];
  return [200, { about: "a stub in Kibana's place: there is nothing to see" }];
}

http
  .createServer(async (request, response) => {
    try {
      const [status, content] = await answer(request);
      response.writeHead(status, { "content-type": "application/json", "kbn-name": "stub" });
      response.end(JSON.stringify(content));
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  })
  .listen(Number(configuration["server.port"]), configuration["server.host"], () =>
    console.log("kibana: this is a stub in Kibana's place"));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
