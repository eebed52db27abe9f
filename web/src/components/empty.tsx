import type { ReactNode } from "react";

/** Where there is nothing yet: what this is in one sentence, and the next step. */
export function Empty({ title, children, action }: { title: string; children: ReactNode; action?: ReactNode }) {
  return (
    <div className="grid justify-items-center gap-2 rounded-md border border-dashed border-line-strong/50 px-6 py-12 text-center">
      <h2 className="text-sm font-semibold">{title}</h2>
      <p className="max-w-md text-[13px] text-balance text-ink-2">{children}</p>
      {action !== undefined && <div className="mt-2 flex flex-wrap justify-center gap-2">{action}</div>}
    </div>
  );
}
