// What a run must leave behind: nothing, also when it is interrupted or takes too long.

type Undo = () => Promise<void>;
const pending = new Set<Undo>();
let ending = false;

/** Registers `undo`; the result runs it once, and `undoAll` runs it if nobody else did. */
export function onCleanup(undo: Undo): Undo {
  const once = async () => {
    if (pending.delete(once)) await undo();
  };
  pending.add(once);
  return once;
}

/** Calls `use` with a file that holds `text`, readable by its owner only and gone afterwards. */
export async function withFile<T>(text: string, use: (path: string) => Promise<T>): Promise<T> {
  const file = await Deno.makeTempFile({ prefix: "toolbox-bench-" });
  const remove = onCleanup(() => Deno.remove(file));
  try {
    await Deno.writeTextFile(file, text);
    return await use(file);
  } finally {
    await remove();
  }
}

/** Undoes what is left, newest first; one failure does not keep the others. */
export async function undoAll(): Promise<void> {
  for (const undo of [...pending].reverse()) await undo().catch((error) => console.error("bench: clean up:", error));
}

/** What a failure of the run leads to: clean up and throw it, unless it comes from a clean-up that is under way. */
export async function failCleanly(error: unknown): Promise<never> {
  if (ending) await new Promise(() => {});
  await undoAll();
  throw error;
}

/** Ends the run cleanly on SIGINT, SIGTERM and after `seconds`. */
export function endCleanly(seconds: number): void {
  const end = async (reason: string, code: number) => {
    ending = true;
    console.error(`bench: ${reason}`);
    await undoAll();
    Deno.exit(code);
  };
  Deno.addSignalListener("SIGINT", () => end("interrupted", 130));
  Deno.addSignalListener("SIGTERM", () => end("terminated", 143));
  Deno.unrefTimer(setTimeout(() => end(`gave up after ${seconds} s`, 1), seconds * 1000));
}
