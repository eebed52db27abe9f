import type { Change } from "@/lib/diff.ts";

/** What is before and what is after, field by field. */
export function ChangeList({ changes }: { changes: Change[] }) {
  return (
    <dl className="grid gap-2 text-[13px]">
      {changes.map(({ field, before, after }) => (
        <div key={field} className="grid gap-0.5">
          <dt className="text-ink-3">{field}</dt>
          <dd className="grid gap-0.5 font-mono text-xs break-all whitespace-pre-wrap">
            <span>
              <span className="text-bad" aria-hidden>−</span> <span className="sr-only">before:</span>
              {before ?? <span className="font-sans text-ink-3">as it was; it is not read back</span>}
            </span>
            <span>
              <span className="text-ok" aria-hidden>+</span> <span className="sr-only">after:</span>
              {after}
            </span>
          </dd>
        </div>
      ))}
    </dl>
  );
}
