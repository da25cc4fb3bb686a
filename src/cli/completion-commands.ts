import type { Command as Commander } from 'commander';
import type { Action } from './action.js';

/** What shells ask while somebody types. */
export function addCompletionCommands(program: Commander, action: Action): void {
  program
    .command('completion')
    .description('print a script that completes commands, options and pipelines in this shell')
    .argument('<shell>', 'bash, zsh or fish')
    .addHelpText(
      'after',
      [
        '',
        'bash: put  source <(maskline completion bash)  into ~/.bashrc',
        'zsh:  put  source <(maskline completion zsh)  into ~/.zshrc, after compinit',
        'fish: maskline completion fish > ~/.config/fish/completions/maskline.fish',
      ].join('\n'),
    )
    .action(action(async () => (await import('./completion.js')).completion));
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(action(async () => (await import('./completion.js')).candidatesOf(program)));
}
