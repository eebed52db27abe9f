// Writes src/api/generated from the OpenAPI documents in docs/api. With --check it writes nothing and fails if a file is old.
import { readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const documents = ["toolboxes-user", "toolbox-tools", "toolbox-dtma-console", "operators"];
const check = process.argv.includes("--check");
let old = 0;
for (const name of documents) {
  const source = new URL(`../../docs/api/${name}.openapi.json`, import.meta.url);
  const target = new URL(`../src/api/generated/${name}.ts`, import.meta.url);
  const text = `// Written by scripts/gen-api.mjs from docs/api/${name}.openapi.json. Do not edit.\n\n${
    astToString(await openapiTS(source, { defaultNonNullable: false }))
  }`;
  if (!check) {
    await writeFile(target, text);
  } else if ((await readFile(target, "utf8").catch(() => "")) !== text) {
    old += 1;
    console.error(
      `web/src/api/generated/${name}.ts is not what docs/api/${name}.openapi.json says: run npm run api in web/`,
    );
  }
}
process.exitCode = old > 0 ? 1 : 0;
