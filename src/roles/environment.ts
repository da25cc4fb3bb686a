/** What a process takes from its environment, read once. */
export interface Environment {
  readonly variables: Readonly<{ [name: string]: string | undefined }>;
  /** MASKLINE_KEK, removed from the environment once read, so that no child process or crash report has it. */
  readonly kek: string | null;
  /** MASKLINE_NEW_KEK, the same for what keys are to be wrapped with from now on. */
  readonly newKek: string | null;
  readonly logLevel: string | null;
  /** HOST and PORT of this process's HTTP endpoints, over `admin.host` and `admin.port`. */
  readonly host: string | null;
  readonly port: string | null;
  readonly credentials: { readonly user: string; readonly password: string } | null;
}

/** Reads the environment; empty means absent. Takes the KEKs out of `env`. */
export function readEnvironment(env: NodeJS.ProcessEnv): Environment {
  const get = (name: string): string | null => env[name] || null;
  const kek = get('MASKLINE_KEK');
  const newKek = get('MASKLINE_NEW_KEK');
  delete env['MASKLINE_KEK'];
  delete env['MASKLINE_NEW_KEK'];
  const user = get('MASKLINE_ADMIN_USER');
  const password = get('MASKLINE_ADMIN_PASSWORD');
  return {
    variables: { ...env },
    kek,
    newKek,
    logLevel: get('LOG_LEVEL'),
    host: get('HOST'),
    port: get('PORT'),
    credentials: user !== null && password !== null ? { user, password } : null,
  };
}
