import { useQuery } from "@tanstack/react-query";
import { Link, Outlet, useNavigate, useRouter, useRouterState } from "@tanstack/react-router";
import { ChevronsLeft, ChevronsRight, LogOut, Menu as MenuIcon, Search, UserRound } from "lucide-react";
import { lazy, Suspense, useEffect, useRef, useState } from "react";
import { toolboxQuery, toolQuery } from "@/api/queries.ts";
import { Button } from "@/components/ui/button.tsx";
import { Dialog } from "@/components/ui/dialog.tsx";
import { Menu, MenuItem, MenuText } from "@/components/ui/menu.tsx";
import { clock } from "@/lib/state.ts";
import { cn } from "@/lib/utils.ts";
import { useConnection } from "./connection.ts";
import { placesOf } from "./nav.ts";
import { signOut, useSession } from "./session.ts";

const Palette = lazy(() => import("./palette.tsx"));

/** Rail, top bar, and the page between them. */
export function Frame() {
  const { session } = useSession();
  const navigate = useNavigate();
  const router = useRouter();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const page = useFocus();
  const [sheet, setSheet] = useState(false);
  const [palette, setPalette] = useState(false);
  const [narrow, setNarrow] = useRail();

  useEffect(() => {
    // From where one is now: the address changes before this frame is gone.
    if (session === null) {
      void navigate({ to: "/sign-in", search: { next: router.state.location.href }, replace: true });
    }
  }, [session, navigate, router]);
  useEffect(() => {
    const open = (event: KeyboardEvent) => {
      if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        setPalette(true);
      }
    };
    document.addEventListener("keydown", open);
    return () => document.removeEventListener("keydown", open);
  }, []);

  if (session === null) return null;
  return (
    <div className="flex min-h-dvh">
      <a
        href="#page"
        className="sr-only focus:not-sr-only focus:fixed focus:top-2 focus:left-2 focus:z-50 focus:rounded-md focus:bg-surface focus:px-3 focus:py-2"
      >
        To the page
      </a>
      <aside
        className={cn(
          "sticky top-0 hidden h-dvh shrink-0 flex-col border-r border-line md:flex",
          narrow ? "w-14" : "w-[220px]",
        )}
      >
        <Brand narrow={narrow} />
        <Rail narrow={narrow} />
        <Button
          variant="ghost"
          className={cn("m-2", narrow ? "size-10 self-center px-0" : "self-start")}
          onClick={() => setNarrow(!narrow)}
          aria-label={narrow ? "Widen the rail" : "Narrow the rail"}
          title={narrow ? "Widen the rail" : "Narrow the rail"}
        >
          {narrow ? <ChevronsRight aria-hidden /> : <ChevronsLeft aria-hidden />}
        </Button>
      </aside>
      <Dialog open={sheet} onOpenChange={setSheet} title="Toolbox" side="left">
        <Rail narrow={false} onGo={() => setSheet(false)} />
      </Dialog>
      <div className="flex min-w-0 flex-1 flex-col">
        <header className="sticky top-0 z-30 flex h-12 items-center gap-2 border-b border-line bg-canvas px-3 sm:px-4">
          <Button variant="ghost" size="icon" className="md:hidden" aria-label="Places" onClick={() => setSheet(true)}>
            <MenuIcon aria-hidden />
          </Button>
          <Crumbs path={path} />
          <div className="ml-auto flex items-center gap-2">
            <Connection />
            <Button
              onClick={() => setPalette(true)}
              aria-keyshortcuts="Control+K Meta+K"
              className="text-ink-3"
            >
              <Search aria-hidden />
              <span className="sr-only">Search,</span>
              <kbd className="hidden font-sans text-xs sm:inline">Ctrl K</kbd>
            </Button>
            <Menu
              trigger={
                <Button variant="ghost" size="icon" aria-label="Account">
                  <UserRound aria-hidden />
                </Button>
              }
            >
              <MenuText>{session.user.email ?? "An account without an address"}</MenuText>
              <MenuItem onSelect={() => void signOut()}>
                <LogOut aria-hidden /> Sign out
              </MenuItem>
            </Menu>
          </div>
        </header>
        <main id="page" ref={page} tabIndex={-1} className="flex-1 outline-none">
          {/* A page shows what one user may see: another one's begins anew. */}
          <Outlet key={session.user.id} />
        </main>
      </div>
      {palette && (
        <Suspense fallback={null}>
          <Palette onClose={() => setPalette(false)} />
        </Suspense>
      )}
    </div>
  );
}

/** Takes the focus along to a page that one came to, so that it is read out and goes on there; within a page it stays. */
function useFocus() {
  const page = useRef<HTMLElement>(null);
  const path = useRouterState({ select: (state) => state.resolvedLocation?.pathname });
  const before = useRef(path);
  useEffect(() => {
    const came = before.current !== undefined && before.current !== path;
    before.current = path;
    if (came && page.current?.contains(document.activeElement) === false) page.current.focus({ preventScroll: true });
  }, [path]);
  return page;
}

function Brand({ narrow }: { narrow: boolean }) {
  return (
    <Link to="/toolboxes" className="flex h-12 items-center gap-2 border-b border-line px-4 font-semibold">
      <img src="/icon.svg" alt="" className="size-6 shrink-0" />
      <span className={narrow ? "sr-only" : undefined}>Toolbox</span>
    </Link>
  );
}

function Rail({ narrow, onGo }: { narrow: boolean; onGo?: () => void }) {
  const places = placesOf(useSession().session);
  return (
    <nav aria-label="Places" className="grid flex-1 content-start gap-0.5 p-2">
      {places.map(({ to, label, icon: Icon }) => (
        <Link
          key={to}
          to={to}
          onClick={onGo}
          title={narrow ? label : undefined}
          className="flex h-8 items-center gap-2.5 rounded-md px-2.5 text-[13px]"
          activeProps={{ className: "bg-muted font-medium text-ink" }}
          inactiveProps={{ className: "text-ink-2 hover:bg-muted hover:text-ink" }}
        >
          <Icon className="size-4 shrink-0" />
          <span className={narrow ? "sr-only" : undefined}>{label}</span>
        </Link>
      ))}
    </nav>
  );
}

/** Whether the rail is narrow, as this browser was last told. */
function useRail(): [boolean, (narrow: boolean) => void] {
  const [narrow, set] = useState(() => localStorage.getItem("toolbox-rail") === "narrow");
  return [narrow, (next) => {
    localStorage.setItem("toolbox-rail", next ? "narrow" : "wide");
    set(next);
  }];
}

/** Where one is: the places above this page. */
function Crumbs({ path }: { path: string }) {
  const parts = path.split("/").filter((part) => part !== "");
  // An entry of the marketplace has no page of its own, so its deployment is below the marketplace.
  const above = parts[0] === "marketplace" ? parts.slice(0, 1) : parts.slice(0, -1);
  const place = placesOf(useSession().session).find(({ to }) => to === `/${parts[0]}`);
  if (parts.length < 2) {
    return <span className="truncate px-1 text-[13px] text-ink-2">{place?.label ?? "Toolbox"}</span>;
  }
  return (
    <nav aria-label="Breadcrumb" className="min-w-0">
      <ol className="flex min-w-0 items-center gap-1.5 text-[13px] text-ink-2">
        {above.map((part, index) => (
          <li
            key={part}
            // Where there is little room, the place just above is told alone.
            className={cn("min-w-0 items-center gap-1.5", index < above.length - 1 ? "hidden sm:flex" : "flex")}
          >
            {index > 0 && <span aria-hidden className="hidden text-ink-3 sm:inline">/</span>}
            <Link
              to={`/${parts.slice(0, index + 1).join("/")}` as string}
              className="truncate rounded px-1 py-1 hover:text-ink"
            >
              <CrumbLabel parts={parts} index={index} />
            </Link>
          </li>
        ))}
      </ol>
    </nav>
  );
}

/** The name of a place; that of a toolbox or a tool is what its page has read, and its id until then. */
function CrumbLabel({ parts, index }: { parts: string[]; index: number }) {
  const part = parts[index] ?? "";
  const places = placesOf(useSession().session);
  const within = parts[0] === "toolboxes";
  const toolbox = useQuery({ ...toolboxQuery(parts[1] ?? ""), enabled: false });
  const tool = useQuery({ ...toolQuery(parts[1] ?? "", parts[3] ?? ""), enabled: false });
  if (within && index === 1) return toolbox.data?.name ?? part.slice(0, 8);
  if (within && index === 3) return tool.data?.tool_instance.instance_name_on_toolbox ?? part.slice(0, 8);
  const place = index === 0 ? places.find(({ to }) => to === `/${part}`)?.label : undefined;
  return place ?? part.charAt(0).toUpperCase() + part.slice(1);
}

/** Whether this page still hears from the server. */
function Connection() {
  const { state, since } = useConnection();
  const text = state === "live" ? "Live" : state === "offline" ? "Offline" : "No answer";
  return (
    <span
      role="status"
      className={cn("flex items-center gap-1.5 text-xs", state === "live" ? "text-ink-3" : "font-medium text-warn")}
    >
      <span aria-hidden className={cn("size-1.5 rounded-full", state === "live" ? "bg-line-strong" : "bg-warn")} />
      <span className={state === "live" ? "hidden sm:inline" : "whitespace-nowrap"}>
        {text}
        {/* Where there is little room, the place comes first. */}
        {state !== "live" && <span className="hidden sm:inline">{` since ${clock(since)}`}</span>}
      </span>
    </span>
  );
}
