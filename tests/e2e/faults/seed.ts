/** Seeds of random tests: printed, so that a failure can be run again. */

/** The seed named by the environment variable `name`, else a new one; printed either way. */
export function seedFromEnvironment(name: string): number {
  const given = Deno.env.get(name);
  const seed = given === undefined ? crypto.getRandomValues(new Uint32Array(1))[0] : Number(given);
  console.log(`  ${name}=${seed}`);
  return seed;
}
