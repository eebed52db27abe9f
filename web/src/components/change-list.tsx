import type { Change } from "@/lib/diff.ts";

/** What is before and what is after, field by field. */
export function ChangeList({ changes }: { changes: Change[] }) {
  return (
    <dl className="grid gap-2 text-[13px]">
      {changes.map(({ field, before, after }) => (
        <div key={field} className="grid gap-0.5">
          <dt className="text-ink-3">{field}</dt>
          <dd className="grid gap-0.5 font-mono text-xs break-all whitespace-pre-wrap">
            <span className="flex gap-[1ch]">
              <span className="text-bad" aria-hidden>−</span> <span className="sr-only">before:</span>
              <span className="min-w-0">
                {before ?? <span className="font-sans text-ink-3">as it was; it is not read back</span>}
              </span>
            </span>
            <span className="flex gap-[1ch]">
              <span className="text-ok" aria-hidden>+</span> <span className="sr-only">after:</span>
              <span className="min-w-0">{after}</span>
            </span>
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** What a change costs that makes the container anew. */
export function Replaced() {
  return (
    <p className="text-xs text-ink-2">
      A running tool is replaced: it does not answer for some seconds. If the new version does not start, the one before
      it runs again.
    </p>
  );
}
