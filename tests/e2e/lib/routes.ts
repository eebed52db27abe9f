/** The routes of a server, computed from its OpenAPI document, so that no test can forget a new one. */

/** One operation. */
export interface Route {
  method: string;
  path: string;
  /** The document says that anybody may call it. */
  public: boolean;
  /** It takes a JSON body. */
  hasBody: boolean;
}

/** Every operation of `docs/api/<name>.openapi.json`, sorted. */
export async function routes(
  name: "toolbox-tools" | "toolboxes-user" | "manage-agent-tool-environment" | "operators" | "dtma",
): Promise<Route[]> {
  const url = new URL(`../../../docs/api/${name}.openapi.json`, import.meta.url);
  const document = JSON.parse(await Deno.readTextFile(url));
  const found: Route[] = [];
  for (const [path, item] of Object.entries<Record<string, unknown>>(document.paths)) {
    for (const method of ["get", "put", "post", "patch", "delete", "head", "options", "trace"]) {
      const operation = item[method] as { security?: Record<string, unknown>[]; requestBody?: unknown } | undefined;
      if (!operation) continue;
      const security = operation.security ?? document.security ?? [];
      found.push({
        method: method.toUpperCase(),
        path,
        public: security.length === 0 ||
          security.some((scheme: Record<string, unknown>) => Object.keys(scheme).length === 0),
        hasBody: operation.requestBody !== undefined,
      });
    }
  }
  return found.sort((a, b) => `${a.path} ${a.method}`.localeCompare(`${b.path} ${b.method}`));
}

/** Every action of the body style, from the same document. */
export async function actions(): Promise<string[]> {
  const url = new URL("../../../docs/api/toolbox-tools.openapi.json", import.meta.url);
  return JSON.parse(await Deno.readTextFile(url)).components.schemas.Action.enum;
}

/** `path` with its parameters replaced by percent-encoded values; throws when one is missing. */
export function filled(path: string, values: Record<string, string>): string {
  return path.replace(/\{(\w+)\}/g, (_, name) => {
    if (values[name] === undefined) throw new Error(`no value for {${name}} of ${path}: a new route needs one here`);
    return encodeURIComponent(values[name]);
  });
}
