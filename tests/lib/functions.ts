/** The edge functions of the project; supabase/config.toml is their list. */
export const repository = new URL("../../", import.meta.url).pathname;

/** The names of the functions, in the order of the list. */
export function functionsOf(root: string): string[] {
  const config = Deno.readTextFileSync(`${root}/supabase/config.toml`);
  return [...config.matchAll(/^\[functions\.(.+)\]$/gm)].map(([, name]) => name);
}

/** The module that scripts/build-wasm makes of a function, relative to the project. */
export function packageOf(name: string): string {
  return `pkg/${name}/${name.replaceAll("-", "_")}.js`;
}
