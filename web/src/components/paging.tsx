import { Link } from "@tanstack/react-router";
import { Button } from "@/components/ui/button.tsx";

interface Props {
  /** The address of the page that is open. */
  to: "/operators" | "/operators/quotas";
  from: number;
  /** So many are shown at once. */
  size: number;
  found: number;
}

/** Which part of a long list is shown, and the ways to the others. */
export function Paging({ to, from, size, found }: Props) {
  if (found <= size && from === 0) return null;
  const goes = (next: number, label: string, possible: boolean) =>
    possible
      ? (
        <Button asChild size="sm">
          <Link
            to={to}
            search={(before: { from?: number | undefined }) => ({ ...before, from: next > 0 ? next : undefined })}
          >
            {label}
          </Link>
        </Button>
      )
      : <Button size="sm" disabled>{label}</Button>;
  return (
    <nav aria-label="Parts of the list" className="flex items-center justify-between gap-3 text-xs text-ink-3">
      <span>
        {found === 0 ? "None" : `${Math.min(from + 1, found)} to ${Math.min(from + size, found)} of ${found}`}
      </span>
      <span className="flex gap-2">
        {goes(Math.max(0, from - size), "Back", from > 0)}
        {goes(from + size, "Further", from + size < found)}
      </span>
    </nav>
  );
}
