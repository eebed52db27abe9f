// What somebody typed into the form of a deployment or of an update, and what is sent for it. Pure.

import type { components } from "../api/generated/toolbox-tools.ts";
import { bytesInWords } from "./bytes.ts";
import { type CatalogEntry, transportInWords } from "./catalog.ts";

export type ConfigOverride = components["schemas"]["ConfigOverride"];
type Transport = components["schemas"]["TransportOverride"];

export interface Pair {
  name: string;
  value: string;
}

/** Everything as text, as it stands in the controls; empty is as the catalog entry or the last version has it. */
export interface Draft {
  image: string;
  /** Variables that the entry's schemas name. */
  settings: Record<string, string>;
  /** Further variables. */
  variables: Pair[];
  memory: string;
  cpu: string;
  disk: string;
  pids: string;
  volumes: { name: string; path: string }[];
  ports: { container: string; host: string }[];
  command: string;
  entrypoint: string;
  transport: string;
  endpointPath: string;
  user: string;
  capabilities: string;
  networks: string;
  hostAccess: string;
  headers: Pair[];
  callTimeout: string;
  startTimeout: string;
  idleMinutes: string;
  stateless: boolean;
}

export const EMPTY: Draft = {
  image: "",
  settings: {},
  variables: [],
  memory: "",
  cpu: "",
  disk: "",
  pids: "",
  volumes: [],
  ports: [],
  command: "",
  entrypoint: "",
  transport: "",
  endpointPath: "",
  user: "",
  capabilities: "",
  networks: "",
  hostAccess: "",
  headers: [],
  callTimeout: "",
  startTimeout: "",
  idleMinutes: "",
  stateless: false,
};

const lines = (text: string) => text.split("\n").filter((line) => line !== "");
const words = (text: string) => text.split(/[\s,]+/).filter((word) => word !== "");
const pairs = (list: Pair[]): [string, string][] =>
  list.filter(({ name }) => name.trim() !== "").map(({ name, value }) => [name.trim(), value]);
/** Numbers go as numbers; what is none goes as it was typed, so that the server says what is wrong with it. */
const number = (text: string) => (Number.isFinite(Number(text)) ? Number(text) : text) as number;

/** What is sent: only what was given. */
export function overrideOf(draft: Draft): ConfigOverride {
  const sent: ConfigOverride = {};
  if (draft.image.trim() !== "") sent.dockerImage = draft.image.trim();
  const settings = Object.entries(draft.settings).filter(([, value]) => value !== "");
  const variables = [...settings, ...pairs(draft.variables)];
  if (variables.length > 0) sent.environmentVariables = Object.fromEntries(variables);
  const { memory, cpu, disk, pids } = draft;
  if ([memory, cpu, disk, pids].some((each) => each.trim() !== "")) {
    sent.resources = {
      ...(memory.trim() !== "" && { memory: memory.trim() }),
      ...(cpu.trim() !== "" && { cpu: cpu.trim() }),
      ...(disk.trim() !== "" && { disk: disk.trim() }),
      ...(pids.trim() !== "" && { pids: number(pids) }),
    };
  }
  const volumes = draft.volumes.filter(({ name, path }) => name !== "" || path !== "");
  if (volumes.length > 0) sent.volumes = volumes;
  const ports = draft.ports.filter(({ container }) => container !== "");
  if (ports.length > 0) {
    sent.portMappings = ports.map(({ container, host }) => ({
      containerPort: number(container),
      ...(host !== "" && { hostPort: number(host) }),
    })) as ConfigOverride["portMappings"];
  }
  if (draft.command !== "") sent.command = lines(draft.command);
  if (draft.entrypoint !== "") sent.entrypoint = lines(draft.entrypoint);
  if (draft.transport !== "") sent.transport = draft.transport as Transport;
  if (draft.endpointPath !== "") sent.endpointPath = draft.endpointPath;
  if (draft.user !== "") sent.user = draft.user;
  if (draft.capabilities !== "") sent.capabilities = words(draft.capabilities);
  if (draft.networks !== "") sent.networks = words(draft.networks);
  if (draft.hostAccess !== "") sent.hostAccess = words(draft.hostAccess);
  const headers = pairs(draft.headers);
  if (headers.length > 0) sent.upstreamHeaders = Object.fromEntries(headers);
  if (draft.callTimeout !== "") sent.callTimeoutSeconds = number(draft.callTimeout);
  if (draft.startTimeout !== "") sent.startTimeoutSeconds = number(draft.startTimeout);
  if (draft.idleMinutes !== "") sent.idleMinutes = number(draft.idleMinutes);
  if (draft.stateless) sent.statelessProtocol = true;
  return sent;
}

/** Whether what is deployed is an MCP server, which has tools to pin. */
export function isMcpServer(entry: CatalogEntry, draft: Draft): boolean {
  const transport = draft.transport || entry.default_spec.transport;
  return !!transport && transport !== "none";
}

/** What will run, fact by fact; what the image decides is said so. */
export function whatRuns(entry: CatalogEntry, draft: Draft): [string, string][] {
  const spec = entry.default_spec;
  const transport = draft.transport || spec.transport;
  const { resources } = spec;
  const memory = draft.memory ||
    (resources?.memory_bytes ? bytesInWords(resources.memory_bytes) : "the agent's default");
  const cpu = draft.cpu || (resources?.cpus ? String(resources.cpus) : "the agent's default");
  const volumes = draft.volumes.some(({ path }) => path !== "")
    ? draft.volumes.map(({ path }) => path)
    : (spec.volumes ?? []).map(({ path }) => path);
  const published = draft.ports.filter(({ container }) => container !== "").map(({ container, host }) =>
    host === "" ? container : `${container} as ${host}`
  );
  const variables = Object.keys(overrideOf(draft).environmentVariables ?? {});
  const isMcp = isMcpServer(entry, draft);
  return [
    ["Image", draft.image.trim() || entry.docker_image_url || "not named yet"],
    ["Spoken to by", transportInWords(transport)],
    ["Reachable", isMcp ? "only through your URL" : published.length > 0 ? "at its published ports" : "by nobody"],
    ["Limits", `${memory} of memory, ${cpu} CPU`],
    [
      "Keeps",
      volumes.length > 0 ? `what is in ${volumes.join(", ")}, until it is deleted` : "nothing, once it is updated",
    ],
    ...(published.length > 0 ? [["Ports", published.join(", ")] as [string, string]] : []),
    ...(variables.length > 0 ? [["Settings", variables.join(", ")] as [string, string]] : []),
    ["May reach", reach(draft)],
  ];
}

function reach(draft: Draft): string {
  const networks = words(draft.networks);
  const machine = words(draft.hostAccess);
  return [
    "the internet",
    ...(networks.length > 0 ? [`tools in ${networks.join(", ")}`] : []),
    ...(machine.length > 0 ? [`${machine.join(", ")} of the machine`] : []),
  ].join("; ");
}
