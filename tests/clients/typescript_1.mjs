// MCP's TypeScript SDK of 2025 as a client: `node typescript_1.mjs PROGRAM`. Each line of stdin is a call, each line of stdout its result.

import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";

const client = new Client({ name: "typescript-1", version: "1" });
await client.connect(new StdioClientTransport({ command: process.argv[2], env: process.env }));
// The client checks results by the schemas in this list.
await client.listTools();
for await (const line of createInterface({ input: process.stdin })) {
  const { tool, arguments: given } = JSON.parse(line);
  console.log(JSON.stringify(await client.callTool({ name: tool, arguments: given })));
}
await client.close();
