/**
 * Random faults while a user works, then peace: wish, database and Docker must agree again.
 *
 * - `TOOLBOX_CHAOS_SEED=N` runs the schedule of one seed.
 * - `TOOLBOX_CHAOS_SEEDS=COUNT` runs that many (default 3, or 200 with `scripts/test --thorough`), from `TOOLBOX_CHAOS_FIRST` on (default: at random).
 * - `TOOLBOX_CHAOS_WORLDS=N` runs them in that many worlds at a time (default 1).
 *
 * Schedules share a world until one fails; the next one then gets a new world. Without root nothing is tested.
 */
import assert from "node:assert/strict";
import { evidence, type Outcome, schedule } from "./schedule.ts";
import { ChaosWorld } from "./world.ts";
import { thorough } from "../lib/thorough.ts";

function seeds(): number[] {
  const given = (name: string) => {
    const text = Deno.env.get(name);
    return text === undefined || text === "" ? undefined : Number(text);
  };
  const one = given("TOOLBOX_CHAOS_SEED");
  if (one !== undefined) return [one];
  const first = given("TOOLBOX_CHAOS_FIRST") ?? Math.floor(Math.random() * 1_000_000_000);
  return Array.from({ length: given("TOOLBOX_CHAOS_SEEDS") ?? (thorough ? 200 : 3) }, (_, i) => first + i);
}

Deno.test({
  name: "after any faults the user's wish, the database and Docker agree within 30 s",
  // Namespaces and a Docker Engine of its own are root's to make.
  ignore: Deno.uid() !== 0,
  // Connections of killed programs end when they end.
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    const waiting = seeds();
    console.log(`  seeds ${waiting[0]} to ${waiting.at(-1)}`);
    const outcomes: Outcome[] = [];
    const failed: number[] = [];
    const lane = async () => {
      let world: ChaosWorld | undefined;
      try {
        for (let seed = waiting.shift(); seed !== undefined; seed = waiting.shift()) {
          world ??= await ChaosWorld.open();
          try {
            const outcome = await schedule(world, seed);
            outcomes.push(outcome);
            report(outcome);
          } catch (error) {
            failed.push(seed);
            const folder = await evidence(world, seed, error);
            console.log(
              `  seed ${seed} FAILED: ${error instanceof Error ? error.message : error}\n  evidence in ${folder}`,
            );
            await world[Symbol.asyncDispose]().catch((error) => console.error(error));
            world = undefined;
          }
        }
      } finally {
        await world?.[Symbol.asyncDispose]();
      }
    };
    const worlds = Number(Deno.env.get("TOOLBOX_CHAOS_WORLDS") ?? 1);
    await Promise.all(Array.from({ length: worlds }, lane));
    summarise(outcomes, failed);
    assert.deepEqual(failed, [], "seeds that failed; TOOLBOX_CHAOS_SEED runs one of them again");
  },
});

function report({ seed, faults, commands, answers, agreedMs, totalMs }: Outcome): void {
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  console.log(
    `  seed ${seed}: agreed after ${seconds(agreedMs)}, ${seconds(totalMs)} in all; ${faults.join(", ")}; ` +
      `${commands} commands: ${answers}`,
  );
}

function summarise(outcomes: Outcome[], failed: number[]): void {
  const times = outcomes.map((outcome) => outcome.agreedMs).sort((a, b) => a - b);
  const at = (share: number) =>
    ((times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0) / 1000).toFixed(1);
  const counts = Map.groupBy(outcomes.flatMap((outcome) => outcome.faults), (kind) => kind);
  const kinds = [...counts].map(([kind, all]) => `${all.length} × ${kind}`).sort().join(", ");
  console.log(
    `  ${outcomes.length} schedules agreed (median ${at(0.5)} s, p95 ${at(0.95)} s, longest ${at(1)} s after the ` +
      `faults), ${failed.length} failed${failed.length ? `: ${failed.join(", ")}` : ""}\n  faults: ${kinds}`,
  );
}
