/** `scripts/test --thorough`: tests that repeat something run as often as takes hours instead of minutes. */
export const thorough = Deno.env.get("TOOLBOX_THOROUGH") === "1";
