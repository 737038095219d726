// MCP's TypeScript SDK as a client: `node typescript_2.mjs PROGRAM legacy|VERSION`. Each line of stdin is a call, each line of stdout its result.

import { createInterface } from "node:readline";
import { Client } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [program, mode] = process.argv.slice(2);
const client = new Client({ name: "typescript-2", version: "1" }, { versionNegotiation: { mode: mode === "legacy" ? mode : { pin: mode } } });
await client.connect(new StdioClientTransport({ command: program, env: process.env }));
await client.listTools();
for await (const line of createInterface({ input: process.stdin })) {
  const { tool, arguments: given } = JSON.parse(line);
  console.log(JSON.stringify(await client.callTool({ name: tool, arguments: given })));
}
await client.close();
