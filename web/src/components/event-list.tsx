import type { ReactNode } from "react";
import { Age } from "@/components/age.tsx";
import { Copy } from "@/components/copy.tsx";
import { Card } from "@/components/ui/card.tsx";
import { linesOf, type Told } from "@/lib/events.ts";
import { fromServer } from "@/lib/server-time.ts";

/** What happened: when, who, what and why; the newest first. `where` it happened, by the key of the event. */
export function EventList({ events, where }: { events: Told[]; where?: ReadonlyMap<string, ReactNode> }) {
  return (
    <Card>
      <ul className="divide-y divide-line">
        {linesOf(events).map((event) => (
          <li
            key={event.key}
            className="grid gap-x-4 gap-y-0.5 px-3 py-2 text-[13px] md:grid-cols-[6rem_7rem_1fr_auto]"
          >
            <span className="text-ink-3">
              <Age at={fromServer(event.at)} />
            </span>
            <span className="text-ink-2">{event.who}</span>
            <span className="min-w-0 break-words">
              {where?.get(event.key)}
              {event.what}
              {event.count > 1 && (
                <>
                  , {event.count} times, first <Age at={fromServer(event.since)} />
                </>
              )}
              {event.why && <span className={event.bad ? "text-bad" : "text-ink-2"}>: {event.why}</span>}
            </span>
            {event.request && (
              <span>
                <Copy
                  text={event.request}
                  label={event.request.slice(0, 8)}
                  what="the request id"
                  className="min-h-6"
                />
              </span>
            )}
          </li>
        ))}
      </ul>
    </Card>
  );
}
