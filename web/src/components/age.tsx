import { duration } from "@/lib/state.ts";
import { useNow } from "@/lib/use-now.ts";

const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });

/** How long ago something was; the moment itself, with the zone, on hover. */
export function Age({ at, suffix = " ago" }: { at: number | null; suffix?: string }) {
  const now = useNow();
  if (at === null) return <span className="text-ink-3">never</span>;
  return (
    <time dateTime={new Date(at).toISOString()} title={exact.format(at)} className="whitespace-nowrap">
      {duration((now - at) / 1000)}
      {suffix}
    </time>
  );
}

export function moment(at: number): string {
  return exact.format(at);
}
