import { ago } from "@/lib/state.ts";
import { useNow } from "@/lib/use-now.ts";

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** How long ago something was; the moment itself, with the zone, on hover. */
export function Age({ at }: { at: number | null }) {
  const now = useNow();
  if (at === null) return <span className="text-ink-3">never</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={exact.format(at)} className="whitespace-nowrap">
      {ago((now - at) / 1000)}
    </time>
  );
}

export function moment(at: number): string {
  return exact.format(at);
}
