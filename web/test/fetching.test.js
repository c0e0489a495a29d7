import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import { SnnVoiceError } from "../src/errors.js";
import { Voice } from "../src/voice.js";

/** What the address of a model can do besides giving it. */
const FAULTS = {
  refused: (response) => response.writeHead(403).end("no"),
  missing: (response) => response.writeHead(404).end("no"),
  failing: (response) => response.writeHead(500).end("no"),
  silent: (response) => response.destroy(),
  cut: (response) => response.writeHead(200, { "Content-Length": 1000 }).write("part", () => response.destroy()),
  round: (response, path) => response.writeHead(302, { Location: path }).end(),
};

const server = createServer((request, response) => FAULTS[request.url.slice(1)](response, request.url));
before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
after(() => server.close());

for (const fault of Object.keys(FAULTS)) {
  test(`a model whose address is ${fault} is an error of ours`, async () => {
    const address = `http://127.0.0.1:${server.address().port}/${fault}`;
    await assert.rejects(Voice.load(address), (error) => {
      assert.ok(error instanceof SnnVoiceError, String(error));
      assert.equal(error.code, "not_found");
      assert.match(error.message, new RegExp(address));
      return true;
    });
  });
}
