import { type ReactNode, useEffect } from "react";

interface Props {
  title: string;
  /** Beside the title: a state. */
  state?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

/** A page: its heading, what can be done with all of it, and what it is about. */
export function Page({ title, state, actions, children }: Props) {
  useEffect(() => {
    document.title = `${title} · Toolbox`;
  }, [title]);
  return (
    <div className="mx-auto grid w-full max-w-[1200px] grid-cols-[minmax(0,1fr)] content-start gap-5 px-4 py-6 sm:px-6">
      <div className="flex flex-wrap items-center justify-between gap-x-4 gap-y-2">
        <div className="flex min-w-0 flex-wrap items-center gap-x-3 gap-y-1">
          <h1 className="line-clamp-3 min-w-0 text-xl break-words" title={title}>{title}</h1>
          {state}
        </div>
        {actions !== undefined && <div className="flex flex-wrap items-center gap-2">{actions}</div>}
      </div>
      {children}
    </div>
  );
}
