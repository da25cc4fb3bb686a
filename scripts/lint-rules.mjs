// Lint rules of this project, loaded by oxlint: the import table, and no `export *`.
import path from 'node:path';
import { modules, names, packages, workerImports } from './import-table.mjs';

/** `load/*` is every module of the folder, `queue/bullmq*` every one that starts so. */
const matches = (pattern, module) =>
  pattern.endsWith('*') ? module.startsWith(pattern.slice(0, -1)) : pattern === module;

const isIn = (patterns, module) => patterns.some((pattern) => matches(pattern, module));

const withoutExtension = (file) => file.replace(/\.[cm]?[jt]s$/, '');

/** The path below src without extension; null for files elsewhere. */
function moduleOf(file, root) {
  const relative = path.relative(path.join(root, 'src'), file).split(path.sep).join('/');
  return relative.startsWith('../') ? null : withoutExtension(relative);
}

const isWorker = (file, root) => !path.relative(path.join(root, 'workers'), file).startsWith('..');

/** Why the import is not allowed, or null. `kind` is `value`, `type` or `lazy`. */
function problemOf({ file, root, target, kind, imported }) {
  const from = moduleOf(file, root);
  if (from === null && !isWorker(file, root)) return null;
  const who = from ?? 'workers';
  if (target.startsWith('node:')) return target === 'node:process' ? 'use the global process' : null;
  if (!target.startsWith('.')) return packageProblem(who, target);
  const to = moduleOf(path.resolve(path.dirname(file), target), root);
  if (to === null) return `src imports nothing from outside of src: ${target}`;
  const guarded = names.find((entry) => entry.from === to && imported.includes(entry.name));
  if (guarded && !isIn(guarded.users, who))
    return `${guarded.name} is only for ${guarded.users.join(' and ')}`;
  const rule =
    from === null ? { imports: workerImports } : modules.find((entry) => matches(entry.module, from));
  if (!rule) return `${who} is not in scripts/import-table.mjs: say there what it may import`;
  const allowed = [...rule.imports];
  if (kind === 'type') allowed.push(...(rule.types ?? []));
  if (kind !== 'value') allowed.push(...(rule.lazily ?? []));
  return isIn(allowed, to) ? null : `${who} may not import ${to} (scripts/import-table.mjs)`;
}

function packageProblem(who, target) {
  const rule = packages.find(
    (entry) => matches(entry.package, target) || target.startsWith(`${entry.package}/`),
  );
  if (!rule) return `package ${target} is not in scripts/import-table.mjs`;
  return isIn(rule.users, who) ? null : `${rule.package} is only for ${rule.users.join(', ')}`;
}

function isTypeOnly(node) {
  if (node.importKind === 'type' || node.exportKind === 'type') return true;
  const specifiers = node.specifiers ?? [];
  return (
    specifiers.length > 0 && specifiers.every((it) => it.importKind === 'type' || it.exportKind === 'type')
  );
}

const imports = {
  create(context) {
    const check = (node, kind) => {
      const target = node.source?.value;
      if (typeof target !== 'string') return;
      const imported = (node.specifiers ?? []).map((it) => it.imported?.name ?? it.local?.name);
      const message = problemOf({ file: context.filename, root: context.cwd, target, kind, imported });
      if (message !== null) context.report({ node, message });
    };
    const statically = (node) => check(node, isTypeOnly(node) ? 'type' : 'value');
    return {
      ImportDeclaration: statically,
      ExportNamedDeclaration: statically,
      ExportAllDeclaration: statically,
      ImportExpression: (node) => check(node, 'lazy'),
      TSImportType: (node) => check(node, 'type'),
    };
  },
};

const noExportStar = {
  create(context) {
    return {
      ExportAllDeclaration: (node) => context.report({ node, message: 'export by name: an API is a list' }),
    };
  },
};

export default {
  meta: { name: 'maskline' },
  rules: { imports, 'no-export-star': noExportStar },
};
