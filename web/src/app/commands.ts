// The command by which a machine joins is told once, with a token in it. It is kept in this page's memory and nowhere else.

interface Command {
  command: string;
  expires_at: string;
}

const commands = new Map<string, Command>();

export function keepCommand(toolboxId: string, { command, expires_at }: Command): void {
  commands.set(toolboxId, { command, expires_at });
}

export function forgetCommands(): void {
  commands.clear();
}

export function keptCommand(toolboxId: string): Command | undefined {
  return commands.get(toolboxId);
}
