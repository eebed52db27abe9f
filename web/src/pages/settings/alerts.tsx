import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { advice } from "@/api/advice.ts";
import { type Alert, alertChanges, alertsQuery, type Channel, messageQuery, type Rule } from "@/api/alerts.ts";
import { toolboxesQuery } from "@/api/queries.ts";
import { Age } from "@/components/age.tsx";
import { Confirm } from "@/components/confirm.tsx";
import { Snippet } from "@/components/copy.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { Field, Input, Select } from "@/components/ui/field.tsx";
import { newWebhookSecret, ruleInWords, RULES } from "@/lib/alerts.ts";
import { BESIDE } from "@/lib/polling.ts";
import { fromServer } from "@/lib/server-time.ts";
import { usePolling } from "@/lib/use-polling.ts";

export function AlertsTab() {
  const alerts = usePolling(alertsQuery(), undefined, BESIDE);
  // For their names alone.
  const toolboxes = useQuery(toolboxesQuery());
  if (alerts.data === undefined) {
    return alerts.isError
      ? <ErrorPanel error={alerts.error} title="Your alerts could not be read" retry={() => void alerts.refetch()} />
      : <Skeleton className="h-60 w-full" />;
  }
  const { channels, rules, alerts: told } = alerts.data;
  const names = new Map((toolboxes.data ?? []).map(({ id, name }) => [id, name]));
  return (
    <div className="grid gap-6">
      {alerts.isError && (
        <ErrorPanel
          error={alerts.error}
          title="What is shown may be old"
          retry={() => void alerts.refetch()}
        />
      )}
      {toolboxes.isError && (
        <ErrorPanel
          error={toolboxes.error}
          title="The toolboxes could not be read"
          retry={() => void toolboxes.refetch()}
        />
      )}
      <Section title="Where you are told">
        {channels.length === 0
          ? (
            <Empty title="You are told nowhere yet">
              A channel is a webhook of yours, or mail to your address. Add one, then say of what it tells.
            </Empty>
          )
          : (
            <Card>
              <ul className="divide-y divide-line">
                {channels.map((each) => (
                  <OneChannel
                    key={each.id}
                    channel={each}
                    rules={rules.filter((rule) => rule.channel_id === each.id)}
                    names={names}
                  />
                ))}
              </ul>
            </Card>
          )}
        <NewChannel />
      </Section>
      <Section title="What was told">
        {told.length === 0
          ? <p className="text-[13px] text-ink-3">No rule has found anything.</p>
          : <Told alerts={told} names={toolboxes.data && names} />}
      </Section>
    </div>
  );
}

function useChange<T, R>(change: (value: T) => Promise<R>, onSuccess?: (result: R) => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    ...(onSuccess && { onSuccess }),
    onSettled: () => client.invalidateQueries({ queryKey: ["alerts"] }),
  });
}

interface ChannelProps {
  channel: Channel;
  rules: Rule[];
  names: Map<string, string>;
}

function OneChannel({ channel, rules, names }: ChannelProps) {
  const [removing, setRemoving] = useState(false);
  const change = useChange(alertChanges.changeChannel);
  const remove = useChange(alertChanges.removeChannel, () => setRemoving(false));
  const test = useMutation({ mutationFn: () => alertChanges.testChannel(channel.id) });
  return (
    <li className="grid gap-2 p-3 text-[13px]">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-1">
        <span className="min-w-0 font-medium break-words">{channel.name}</span>
        <span className="min-w-0 flex-1 break-all text-ink-2">
          {channel.kind === "email" ? "mail to your address" : channel.webhook_url}
          {channel.quiet_from &&
            ` · quiet ${channel.quiet_from.slice(0, 5)}–${channel.quiet_until?.slice(0, 5)} ${channel.time_zone}`}
        </span>
        <label className="flex items-center gap-1.5 text-xs">
          <input
            type="checkbox"
            checked={channel.is_enabled}
            disabled={change.isPending}
            onChange={(event) => change.mutate({ id: channel.id, is_enabled: event.target.checked })}
          />
          On
        </label>
        <Button size="sm" busy={test.isPending && "Asking…"} onClick={() => test.mutate()}>Test</Button>
        <Button size="sm" variant="danger" onClick={() => setRemoving(true)}>Remove</Button>
      </div>
      {change.isError && <ErrorPanel error={change.error} title="It was not changed" />}
      {test.isError && <ErrorPanel error={test.error} title="It was not tested" />}
      {test.data !== undefined && <Test id={test.data.id} />}
      <ul className="grid gap-1">
        {rules.map((rule) => <OneRule key={rule.id} rule={rule} names={names} />)}
      </ul>
      <NewRule channel={channel} names={names} />
      <Confirm
        open={removing}
        onOpenChange={setRemoving}
        title={`Remove ${channel.name}`}
        name={channel.name}
        action="Remove the channel"
        busy={remove.isPending}
        error={remove.error}
        onConfirm={() => remove.mutate(channel.id)}
      >
        Its rules are removed with it, and so is what they told.
      </Confirm>
    </li>
  );
}

/** How a test went: the clock sends it, so it takes up to a minute. */
function Test({ id }: { id: string }) {
  const message = usePolling(messageQuery(id), ({ state }) => state === "pending");
  if (message.data === undefined) {
    return message.isError ? <ErrorPanel error={message.error} title="How the test went could not be read" /> : null;
  }
  const { state, last_status: status, last_code: code } = message.data;
  return (
    <p role="status" className={state === "delivered" ? "text-ok" : state === "pending" ? "text-moving" : "text-bad"}>
      {state === "pending"
        ? "The test is sent within a minute…"
        : state === "delivered"
        ? "The test was delivered"
        : `The test was not delivered${status ? `: the receiver answered ${status}` : ""}${code ? ` (${code})` : ""}. ${
          (code && advice(code)) ?? ""
        }`}
    </p>
  );
}

function OneRule({ rule, names }: { rule: Rule; names: Map<string, string> }) {
  const change = useChange(alertChanges.changeRule);
  const remove = useChange(alertChanges.removeRule);
  const { account_tool_environment_id: toolbox } = rule;
  const text = `${ruleInWords(rule.kind, rule.disk_percent)}, of ${
    toolbox === null ? "all toolboxes" : names.get(toolbox) ?? "a toolbox"
  }`;
  return (
    <li className="flex flex-wrap items-center gap-2 text-ink-2">
      <label className="flex min-w-0 flex-1 items-center gap-2">
        <input
          type="checkbox"
          checked={rule.is_enabled}
          disabled={change.isPending}
          onChange={(event) => change.mutate({ id: rule.id, is_enabled: event.target.checked })}
        />
        <span className="break-words">when {text}</span>
      </label>
      <Button
        size="sm"
        variant="ghost"
        busy={remove.isPending && "Removing…"}
        aria-label={`Remove the rule: ${text}`}
        onClick={() => remove.mutate(rule.id)}
      >
        Remove
      </Button>
      {(change.isError || remove.isError) && <ErrorPanel error={change.error ?? remove.error} className="basis-full" />}
    </li>
  );
}

function NewRule({ channel, names }: { channel: Channel; names: Map<string, string> }) {
  const [kind, setKind] = useState("toolbox_silent");
  const [toolbox, setToolbox] = useState("");
  const [percent, setPercent] = useState("90");
  const add = useChange(alertChanges.addRule);
  return (
    <form
      className="flex flex-wrap items-center gap-2"
      onSubmit={(event) => {
        event.preventDefault();
        add.mutate({
          channel_id: channel.id,
          kind,
          account_tool_environment_id: toolbox === "" ? null : toolbox,
          disk_percent: kind === "disk_full" ? Number(percent) : null,
        });
      }}
    >
      <Select
        aria-label={`Of what ${channel.name} tells`}
        className="w-auto"
        value={kind}
        onChange={(event) => setKind(event.target.value)}
      >
        {Object.entries(RULES).map(([each, words]) => <option key={each} value={each}>when {words}</option>)}
      </Select>
      {kind === "disk_full" && (
        <Input
          aria-label="At how many percent"
          type="number"
          min={10}
          max={99}
          className="w-20"
          value={percent}
          onChange={(event) => setPercent(event.target.value)}
        />
      )}
      <Select
        aria-label="Of which toolbox"
        className="w-auto max-w-48"
        value={toolbox}
        onChange={(event) => setToolbox(event.target.value)}
      >
        <option value="">of all toolboxes</option>
        {[...names].map(([id, name]) => <option key={id} value={id}>of {name}</option>)}
      </Select>
      <Button type="submit" busy={add.isPending && "Adding…"}>Add rule</Button>
      {add.isError && <ErrorPanel error={add.error} title="The rule was not added" className="basis-full" />}
    </form>
  );
}

function NewChannel() {
  const [kind, setKind] = useState<"webhook" | "email">("webhook");
  const [name, setName] = useState("");
  const [url, setUrl] = useState("");
  const [secret, setSecret] = useState<string | null>(null);
  const add = useChange(async () => {
    const made = kind === "webhook" ? newWebhookSecret() : undefined;
    await alertChanges.addChannel({
      name: name.trim(),
      kind,
      webhook_url: kind === "webhook" ? url.trim() : null,
      ...(made !== undefined && { webhook_secret: made }),
    });
    return made ?? null;
  }, (made) => {
    setSecret(made);
    setName("");
    setUrl("");
  });
  return (
    <form
      className="grid gap-3"
      onSubmit={(event) => {
        event.preventDefault();
        if (!add.isPending) add.mutate(undefined);
      }}
    >
      <div className="flex flex-wrap items-end gap-2">
        <div className="w-36">
          <Field label="By">
            {(tied) => (
              <Select
                {...tied}
                value={kind}
                onChange={(event) => setKind(event.target.value as "webhook" | "email")}
              >
                <option value="webhook">webhook</option>
                <option value="email">mail</option>
              </Select>
            )}
          </Field>
        </div>
        <div className="w-48">
          <Field label="Name">
            {(tied) => (
              <Input
                {...tied}
                required
                maxLength={255}
                value={name}
                onChange={(event) => setName(event.target.value)}
              />
            )}
          </Field>
        </div>
        {kind === "webhook" && (
          <div className="min-w-48 flex-1">
            <Field label="URL">
              {(tied) => (
                <Input
                  {...tied}
                  required
                  type="url"
                  pattern="https://.*"
                  placeholder="https://…"
                  maxLength={2000}
                  value={url}
                  onChange={(event) => setUrl(event.target.value)}
                />
              )}
            </Field>
          </div>
        )}
        <Button type="submit" busy={add.isPending && "Adding…"}>Add channel</Button>
      </div>
      {add.isError && <ErrorPanel error={add.error} title="The channel was not added" />}
      {secret !== null && (
        <div className="grid gap-1.5">
          <p className="text-[13px]">
            By this secret the receiver knows that a message is ours. It is shown this once.
          </p>
          <Snippet text={secret} what="the secret of the webhook" />
        </div>
      )}
    </form>
  );
}

/** `names` of the toolboxes there are; undefined while they are not known. */
function Told({ alerts, names }: { alerts: Alert[]; names: Map<string, string> | undefined }) {
  const missing = names === undefined ? "a toolbox" : "a toolbox that is gone";
  return (
    <Card>
      <ul className="divide-y divide-line">
        {alerts.map((alert) => (
          <li
            key={alert.id}
            className="grid gap-x-4 gap-y-0.5 px-3 py-2 text-[13px] md:grid-cols-[7rem_minmax(0,1fr)_auto]"
          >
            <span className="text-ink-3">
              <Age at={fromServer(alert.opened_at)} />
            </span>
            <span className="min-w-0 break-words">
              {alert.subject_name}: {ruleInWords(alert.kind)}
              <span className="text-ink-3">
                {" "}
                on {names?.get(alert.account_tool_environment_id) ?? missing}
                {alert.times > 1 && `, ${alert.times} times`}
              </span>
            </span>
            <span className={alert.closed_at ? "text-ink-3" : "font-medium text-bad"}>
              {alert.closed_at ? "over" : "still so"}
            </span>
          </li>
        ))}
      </ul>
    </Card>
  );
}
