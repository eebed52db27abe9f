import "./app/theme.css";
import { QueryClientProvider } from "@tanstack/react-query";
import { type AnyRoute, createRouter, RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Toaster } from "sonner";
import { startApi } from "./api/client.ts";
import { readConfig } from "./app/config.ts";
import { NotFound } from "./app/not-found.tsx";
import { routeTree } from "./app/routes.tsx";
import { startSession } from "./app/session.ts";
import { ErrorPanel } from "./components/error-panel.tsx";
import { TooltipProvider } from "./components/ui/tooltip.tsx";
import { queryClient } from "./lib/query-client.ts";

const router = createRouter({
  routeTree,
  defaultPreload: "intent",
  defaultNotFoundComponent: NotFound,
  defaultErrorComponent: ({ error, reset }) => <ErrorPanel error={error} retry={reset} className="m-6" />,
  // Nothing that was typed, asked for or shown of one thing is there on the page of another.
  defaultRemountDeps: ({ params }) => params,
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}

// The code of the page that was asked for comes while the configuration does. What fails is told when the page is opened.
for (const { routeId } of router.matchRoutes(router.latestLocation)) {
  const route = (router.routesById as Record<string, AnyRoute>)[routeId];
  if (route !== undefined) router.loadRouteChunk(route)?.catch(() => {});
}

const place = document.getElementById("root");
if (place === null) throw new Error("index.html has no element root");
const screen = createRoot(place);
try {
  startApi(await readConfig());
  await startSession();
  screen.render(
    <StrictMode>
      <QueryClientProvider client={queryClient}>
        <TooltipProvider delayDuration={200}>
          <RouterProvider router={router} />
          <Toaster position="bottom-right" theme="system" />
        </TooltipProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
} catch (error) {
  screen.render(
    <ErrorPanel className="m-6" title="The console cannot start" error={error} retry={() => location.reload()} />,
  );
}
