import type { Argument, Command as Commander, Option } from 'commander';

/** The commands with their arguments, options and defaults in Markdown, made from commander's tree: docs/cli.md. */
export function commandsMarkdown(program: Commander): string {
  return [section('maskline', program), ...leavesOf(program).map(([name, leaf]) => section(name, leaf))].join(
    '\n\n',
  );
}

/** What can be run, under its whole name, in the order of the help. */
function leavesOf(parent: Commander, name = parent.name()): readonly (readonly [string, Commander])[] {
  return parent.commands.flatMap((command) => {
    const own = `${name} ${command.name()}`;
    return command.commands.length > 0 ? leavesOf(command, own) : [[own, command] as const];
  });
}

function section(name: string, command: Commander): string {
  const { registeredArguments, options } = command;
  return [
    `## ${name}`,
    ...(command.description() === '' ? [] : [sentence(command.description())]),
    `\`${[name, ...registeredArguments.map(synopsisOf), ...(options.length > 0 ? ['[options]'] : [])].join(' ')}\``,
    ...(registeredArguments.length > 0 ? [registeredArguments.map(argumentLine).join('\n')] : []),
    ...(options.length > 0 ? [options.map(optionLine).join('\n')] : []),
  ].join('\n\n');
}

function synopsisOf(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '...' : ''}`;
  return argument.required ? `<${name}>` : `[${name}]`;
}

function argumentLine(argument: Argument): string {
  return line(synopsisOf(argument), argument.description, argument.defaultValue);
}

function optionLine({ flags, description, defaultValue }: Option): string {
  return line(flags, description, defaultValue);
}

function line(name: string, description: string, fallback: unknown): string {
  const isOpen =
    (typeof fallback === 'string' || typeof fallback === 'number') && !description.includes('(default:');
  const told = isOpen ? `${description} (default: \`${fallback}\`)`.trim() : description;
  return told === '' ? `- \`${name}\`` : `- \`${name}\`: ${told}`;
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.$/, '')}.`;
}
