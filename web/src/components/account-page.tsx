import { type ReactNode, useEffect } from "react";

/** A page before one is signed in: one column, one thing to do. */
export function AccountPage({ title, children }: { title: string; children: ReactNode }) {
  useEffect(() => {
    document.title = `${title} · Toolbox`;
  }, [title]);
  return (
    <main className="mx-auto grid min-h-dvh w-full max-w-sm content-start gap-5 px-4 pt-[12vh] pb-8">
      <div className="flex items-center gap-2 text-[13px] font-semibold">
        <img src="/icon.svg" alt="" className="size-6" /> Toolbox
      </div>
      <h1 className="text-xl">{title}</h1>
      {children}
    </main>
  );
}
