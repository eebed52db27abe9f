// Every address of the console, and the file of its page. Each page is loaded when it is first opened.

import type { FetchQueryOptions, QueryKey } from "@tanstack/react-query";
import { createRootRouteWithContext, createRoute, lazyRouteComponent, Outlet, redirect } from "@tanstack/react-router";
import { toolboxesQuery, toolboxQuery, toolQuery, toolRowsQuery } from "@/api/queries.ts";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { queryClient } from "@/lib/query-client.ts";
import { Asked } from "./asked.tsx";
import { Frame } from "./frame.tsx";
import { NotFound } from "./not-found.tsx";
import { currentSession } from "./session.ts";

/** A page's first questions are asked once, while its code comes; not where a link to it is only pointed at. */
function asks<Params>(ask: (params: Params) => void) {
  return {
    loader: ({ params, preload }: { params: Params; preload: boolean }) => {
      if (!preload) ask(params);
    },
    shouldReload: false,
  };
}
const begin = <T, K extends QueryKey>(query: FetchQueryOptions<T, Error, T, K>) =>
  void queryClient.prefetchQuery(query);

const root = createRootRouteWithContext()({
  component: Outlet,
  notFoundComponent: NotFound,
  errorComponent: ({ error, reset }) => <ErrorPanel error={error} retry={reset} className="m-6" />,
});

interface Next {
  /** Where to go after signing in: a path of this site. */
  next?: string | undefined;
}
const next = (search: Record<string, unknown>): Next => {
  const given = search.next;
  // A path only: an address of another site would make the sign-in page lead there.
  return typeof given === "string" && /^\/(?![/\\])/.test(given) ? { next: given } : {};
};

interface ActivitySearch {
  toolbox?: string | undefined;
  tool?: string | undefined;
  /** Only what went wrong. */
  failed?: true | undefined;
  /** How many events at most. */
  limit?: number | undefined;
}
interface DeploySearch {
  /** Where it is to run. */
  toolbox?: string | undefined;
  source?: "git" | undefined;
}
interface FleetSearch {
  show?: "old" | "silent" | "failing" | undefined;
  q?: string | undefined;
  /** How many are left out. */
  from?: number | undefined;
}
const from = (search: Record<string, unknown>) =>
  typeof search.from === "number" && search.from > 0 ? { from: Math.min(1_000_000, Math.floor(search.from)) } : {};
interface MarketplaceSearch {
  q?: string | undefined;
  needs?: "nothing" | undefined;
  toolbox?: string | undefined;
}

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  validateSearch: next,
  component: lazyRouteComponent(() => import("@/pages/sign-in.tsx"), "SignInPage"),
});
const signUp = createRoute({
  getParentRoute: () => root,
  path: "/sign-up",
  validateSearch: next,
  component: lazyRouteComponent(() => import("@/pages/sign-up.tsx"), "SignUpPage"),
});
const resetPassword = createRoute({
  getParentRoute: () => root,
  path: "/reset-password",
  component: lazyRouteComponent(() => import("@/pages/reset-password.tsx"), "ResetPasswordPage"),
});
const newPassword = createRoute({
  getParentRoute: () => root,
  path: "/new-password",
  component: lazyRouteComponent(() => import("@/pages/new-password.tsx"), "NewPasswordPage"),
});

/** The search parameters of these names, where they are texts. */
function texts<Name extends string>(search: Record<string, unknown>, names: Name[]): { [name in Name]?: string } {
  const given = names.filter((name) => typeof search[name] === "string");
  return Object.fromEntries(given.map((name) => [name, search[name]])) as { [name in Name]?: string };
}

const onlySignedIn = ({ location }: { location: { href: string } }) => {
  if (currentSession().session === null) throw redirect({ to: "/sign-in", search: { next: location.href } });
};

/** What only somebody who signed in sees, to which applications send their users. */
const asked = createRoute({
  getParentRoute: () => root,
  id: "only-signed-in",
  component: Asked,
  beforeLoad: onlySignedIn,
});
const consent = createRoute({
  getParentRoute: () => asked,
  path: "/oauth/consent",
  validateSearch: (search: Record<string, unknown>) => texts(search, ["authorization_id"]),
  component: lazyRouteComponent(() => import("@/pages/oauth/consent.tsx"), "ConsentPage"),
});
const grant = createRoute({
  getParentRoute: () => asked,
  path: "/oauth/grant",
  validateSearch: (search: Record<string, unknown>) => texts(search, ["client_id", "server"]),
  component: lazyRouteComponent(() => import("@/pages/oauth/grant.tsx"), "GrantPage"),
});

/** What only somebody who signed in sees, within the frame. */
const signedIn = createRoute({
  getParentRoute: () => root,
  id: "signed-in",
  component: Frame,
  beforeLoad: onlySignedIn,
});
const home = createRoute({
  getParentRoute: () => signedIn,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/toolboxes", replace: true });
  },
});
const toolboxes = createRoute({
  getParentRoute: () => signedIn,
  path: "/toolboxes",
  ...asks(() => {
    begin(toolboxesQuery());
    begin(toolRowsQuery());
  }),
  component: lazyRouteComponent(() => import("@/pages/toolboxes.tsx"), "ToolboxesPage"),
});
const toolboxNew = createRoute({
  getParentRoute: () => signedIn,
  path: "/toolboxes/new",
  validateSearch: (search: Record<string, unknown>): { kind?: "droplet" | "byo" | undefined } =>
    search.kind === "droplet" || search.kind === "byo" ? { kind: search.kind } : {},
  component: lazyRouteComponent(() => import("@/pages/toolbox-new.tsx"), "ToolboxNewPage"),
});
const toolbox = createRoute({
  getParentRoute: () => signedIn,
  path: "/toolboxes/$toolboxId",
  ...asks<{ toolboxId: string }>(({ toolboxId }) => begin(toolboxQuery(toolboxId))),
  component: lazyRouteComponent(() => import("@/pages/toolbox/layout.tsx"), "ToolboxPage"),
});
const toolboxOverview = createRoute({
  getParentRoute: () => toolbox,
  path: "/",
  component: lazyRouteComponent(() => import("@/pages/toolbox/overview.tsx"), "OverviewTab"),
});
const toolboxTools = createRoute({
  getParentRoute: () => toolbox,
  path: "/tools",
  component: lazyRouteComponent(() => import("@/pages/toolbox/tools.tsx"), "ToolsTab"),
});
const toolboxConnect = createRoute({
  getParentRoute: () => toolbox,
  path: "/connect",
  component: lazyRouteComponent(() => import("@/pages/toolbox/connect.tsx"), "ToolboxConnectTab"),
});
const toolboxSystem = createRoute({
  getParentRoute: () => toolbox,
  path: "/system",
  component: lazyRouteComponent(() => import("@/pages/toolbox/system.tsx"), "SystemTab"),
});
const toolboxActivity = createRoute({
  getParentRoute: () => toolbox,
  path: "/activity",
  validateSearch: (search: Record<string, unknown>): { show?: "events" | "log" | undefined } =>
    search.show === "log" ? { show: "log" } : {},
  component: lazyRouteComponent(() => import("@/pages/toolbox/activity.tsx"), "ActivityTab"),
});
const tool = createRoute({
  getParentRoute: () => signedIn,
  path: "/toolboxes/$toolboxId/tools/$instanceId",
  ...asks<{ toolboxId: string; instanceId: string }>(({ toolboxId, instanceId }) =>
    begin(toolQuery(toolboxId, instanceId))
  ),
  component: lazyRouteComponent(() => import("@/pages/tool/layout.tsx"), "ToolPage"),
});
const toolConnect = createRoute({
  getParentRoute: () => tool,
  path: "/",
  component: lazyRouteComponent(() => import("@/pages/tool/connect.tsx"), "ConnectTab"),
});
const toolTools = createRoute({
  getParentRoute: () => tool,
  path: "/tools",
  validateSearch: (search: Record<string, unknown>): { name?: string | undefined } =>
    typeof search.name === "string" ? { name: search.name } : {},
  component: lazyRouteComponent(() => import("@/pages/tool/tools.tsx"), "McpToolsTab"),
});
const toolLogs = createRoute({
  getParentRoute: () => tool,
  path: "/logs",
  validateSearch: (search: Record<string, unknown>): { stream?: "stdout" | "stderr" | "all" | undefined } =>
    search.stream === "stdout" || search.stream === "stderr" || search.stream === "all"
      ? { stream: search.stream }
      : {},
  component: lazyRouteComponent(() => import("@/pages/tool/logs.tsx"), "LogsTab"),
});
const toolConfiguration = createRoute({
  getParentRoute: () => tool,
  path: "/configuration",
  component: lazyRouteComponent(() => import("@/pages/tool/configuration.tsx"), "ConfigurationTab"),
});
const toolActivity = createRoute({
  getParentRoute: () => tool,
  path: "/activity",
  component: lazyRouteComponent(() => import("@/pages/tool/activity.tsx"), "ToolActivityTab"),
});
const toolUsage = createRoute({
  getParentRoute: () => tool,
  path: "/usage",
  validateSearch: (search: Record<string, unknown>): { days?: 7 | 90 | undefined } =>
    search.days === 7 || search.days === 90 ? { days: search.days } : {},
  component: lazyRouteComponent(() => import("@/pages/tool/usage.tsx"), "UsageTab"),
});
const toolSharing = createRoute({
  getParentRoute: () => tool,
  path: "/sharing",
  component: lazyRouteComponent(() => import("@/pages/tool/sharing.tsx"), "SharingTab"),
});
const marketplace = createRoute({
  getParentRoute: () => signedIn,
  path: "/marketplace",
  validateSearch: (search: Record<string, unknown>): MarketplaceSearch => ({
    ...(typeof search.q === "string" && search.q !== "" && { q: search.q }),
    ...(search.needs === "nothing" && { needs: "nothing" }),
    ...(typeof search.toolbox === "string" && { toolbox: search.toolbox }),
  }),
  component: lazyRouteComponent(() => import("@/pages/marketplace.tsx"), "MarketplacePage"),
});
const deploy = createRoute({
  getParentRoute: () => signedIn,
  path: "/marketplace/$catalogId/deploy",
  validateSearch: (search: Record<string, unknown>): DeploySearch => ({
    ...(typeof search.toolbox === "string" && { toolbox: search.toolbox }),
    ...(search.source === "git" && { source: "git" }),
  }),
  component: lazyRouteComponent(() => import("@/pages/deploy.tsx"), "DeployPage"),
});
const activity = createRoute({
  getParentRoute: () => signedIn,
  path: "/activity",
  validateSearch: (search: Record<string, unknown>): ActivitySearch => ({
    ...(typeof search.toolbox === "string" && { toolbox: search.toolbox }),
    ...(typeof search.tool === "string" && { tool: search.tool }),
    ...(search.failed === true && { failed: true }),
    ...(typeof search.limit === "number" && search.limit >= 1 && { limit: Math.min(1000, Math.floor(search.limit)) }),
  }),
  component: lazyRouteComponent(() => import("@/pages/activity.tsx"), "ActivityPage"),
});
const settings = createRoute({
  getParentRoute: () => signedIn,
  path: "/settings",
  component: lazyRouteComponent(() => import("@/pages/settings/layout.tsx"), "SettingsPage"),
});
const settingsProfile = createRoute({
  getParentRoute: () => settings,
  path: "/",
  component: lazyRouteComponent(() => import("@/pages/settings/profile.tsx"), "ProfileTab"),
});
const settingsAccess = createRoute({
  getParentRoute: () => settings,
  path: "/access",
  validateSearch: (search: Record<string, unknown>): { all?: true | undefined } =>
    search.all === true ? { all: true } : {},
  component: lazyRouteComponent(() => import("@/pages/settings/access.tsx"), "AccessTab"),
});
const settingsApplications = createRoute({
  getParentRoute: () => settings,
  path: "/applications",
  component: lazyRouteComponent(() => import("@/pages/settings/applications.tsx"), "ApplicationsTab"),
});
const settingsAlerts = createRoute({
  getParentRoute: () => settings,
  path: "/alerts",
  component: lazyRouteComponent(() => import("@/pages/settings/alerts.tsx"), "AlertsTab"),
});
const rollouts = createRoute({
  getParentRoute: () => signedIn,
  path: "/rollouts",
  component: lazyRouteComponent(() => import("@/pages/rollouts.tsx"), "RolloutsPage"),
});
const operators = createRoute({
  getParentRoute: () => signedIn,
  path: "/operators",
  component: lazyRouteComponent(() => import("@/pages/operators/layout.tsx"), "OperatorsPage"),
});
const operatorsFleet = createRoute({
  getParentRoute: () => operators,
  path: "/",
  validateSearch: (search: Record<string, unknown>): FleetSearch => ({
    ...(search.show === "old" || search.show === "silent" || search.show === "failing" ? { show: search.show } : {}),
    ...(typeof search.q === "string" && search.q !== "" && { q: search.q }),
    ...from(search),
  }),
  component: lazyRouteComponent(() => import("@/pages/operators/fleet.tsx"), "FleetTab"),
});
const operatorsCatalog = createRoute({
  getParentRoute: () => operators,
  path: "/catalog",
  component: lazyRouteComponent(() => import("@/pages/operators/catalog.tsx"), "CatalogTab"),
});
const operatorsEntry = createRoute({
  getParentRoute: () => operators,
  path: "/catalog/$catalogId",
  component: lazyRouteComponent(() => import("@/pages/operators/entry.tsx"), "EntryTab"),
});
const operatorsQuotas = createRoute({
  getParentRoute: () => operators,
  path: "/quotas",
  validateSearch: (search: Record<string, unknown>): { q?: string | undefined; from?: number | undefined } => ({
    ...(typeof search.q === "string" && search.q !== "" && { q: search.q }),
    ...from(search),
  }),
  component: lazyRouteComponent(() => import("@/pages/operators/quotas.tsx"), "QuotasTab"),
});

export const routeTree = root.addChildren([
  signIn,
  signUp,
  resetPassword,
  newPassword,
  asked.addChildren([consent, grant]),
  signedIn.addChildren([
    home,
    toolboxes,
    toolboxNew,
    toolbox.addChildren([toolboxOverview, toolboxTools, toolboxConnect, toolboxSystem, toolboxActivity]),
    tool.addChildren([toolConnect, toolTools, toolLogs, toolConfiguration, toolActivity, toolUsage, toolSharing]),
    marketplace,
    deploy,
    activity,
    rollouts,
    operators.addChildren([operatorsFleet, operatorsCatalog, operatorsEntry, operatorsQuotas]),
    settings.addChildren([settingsProfile, settingsAccess, settingsApplications, settingsAlerts]),
  ]),
]);
