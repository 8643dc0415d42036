import { cp, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Copy, DockerfileParser, From, type Instruction, JSONInstruction } from 'dockerfile-ast';
import { runCommand } from '../../../src/embedded/run-command.js';
import { emptyFolder, machineEnvironment, PROJECT, remove } from './folders.js';

const STEP_TIMEOUT_MS = 120_000;

/** What a Dockerfile's last stage holds and how it is started. */
export interface Built {
  /** The folder that stands for the root of the last stage's file system. */
  readonly root: string;
  /** Stands for the working directory, in `root`. */
  readonly workingDirectory: string;
  readonly env: Record<string, string>;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthCheck: readonly string[];
  readonly ports: readonly string[];
  /** The roots of all stages, to be removed. */
  readonly roots: readonly string[];
}

interface Stage {
  readonly root: string;
  directory: string;
  readonly env: Record<string, string>;
}

/**
 * Does the steps of a Dockerfile in empty folders, one for each stage, with the programs of this machine. Knows the
 * instructions that the project's own file has.
 *
 * @throws Error for an instruction that it does not know, and for a step that fails
 */
export async function build(text: string): Promise<Built> {
  const stages = new Map<string, Stage>();
  try {
    return await doSteps(text, stages);
  } catch (error) {
    await Promise.all([...stages.values()].map(({ root }) => remove(root)));
    throw error;
  }
}

async function doSteps(text: string, stages: Map<string, Stage>): Promise<Built> {
  const start: Partial<Record<'USER' | 'EXPOSE', string>> & {
    ENTRYPOINT: string[];
    CMD: string[];
    HEALTHCHECK: string[];
  } = { ENTRYPOINT: [], CMD: [], HEALTHCHECK: [] };
  let stage: Stage | undefined;
  for (const instruction of DockerfileParser.parse(text).getInstructions()) {
    const keyword = instruction.getKeyword();
    const words = instruction.getArguments().map((argument) => argument.getValue());
    if (instruction instanceof From) {
      stage = { root: await emptyFolder(), directory: '/', env: {} };
      stages.set(instruction.getBuildStage() ?? 'last', stage);
      continue;
    }
    if (keyword === 'ARG' && stage === undefined) {
      continue;
    }
    if (stage === undefined) {
      throw new Error(`${keyword} comes before FROM`);
    }
    switch (keyword) {
      case 'WORKDIR':
        stage.directory = words[0] ?? '/';
        await mkdir(inside(stage, '.'), { recursive: true });
        break;
      case 'ENV':
        for (const [name = '', value = ''] of words.map((word) => word.split('='))) {
          stage.env[name] = value;
        }
        break;
      case 'COPY':
        await copy(instruction as Copy, stage, stages);
        break;
      case 'RUN':
        await runCommand('/bin/sh', ['-c', instruction.getArgumentsContent() ?? ''], {
          cwd: inside(stage, '.'),
          env: { ...machineEnvironment(), ...stage.env },
          timeoutMs: STEP_TIMEOUT_MS,
        });
        break;
      case 'ENTRYPOINT':
      case 'CMD':
        start[keyword] = jsonWords(instruction);
        break;
      case 'HEALTHCHECK':
        start.HEALTHCHECK = jsonWords(commandOf(instruction));
        break;
      case 'USER':
      case 'EXPOSE':
        start[keyword] = words.join(' ');
        break;
      default:
        throw new Error(`The test does not know the instruction ${keyword}`);
    }
  }
  if (stage === undefined) {
    throw new Error('There is no FROM');
  }
  return {
    root: stage.root,
    workingDirectory: inside(stage, '.'),
    env: stage.env,
    user: start.USER ?? 'root',
    entrypoint: start.ENTRYPOINT,
    command: start.CMD,
    healthCheck: start.HEALTHCHECK,
    ports: (start.EXPOSE ?? '').split(' '),
    roots: [...stages.values()].map(({ root }) => root),
  };
}

async function copy(instruction: Copy, to: Stage, stages: ReadonlyMap<string, Stage>): Promise<void> {
  const words = instruction.getArguments().map((argument) => argument.getValue());
  const target = words.pop() ?? '.';
  const name = instruction
    .getFlags()
    .find((flag) => flag.getName() === 'from')
    ?.getValue();
  const from = name == null ? PROJECT : stages.get(name)?.root;
  if (from === undefined) {
    throw new Error(`COPY is from a stage that does not exist: ${name}`);
  }
  for (const source of words) {
    // As COPY does it: a target that ends in a slash is a folder.
    const destination = target.endsWith('/') ? path.join(target, path.basename(source)) : target;
    await cp(path.join(from, source), inside(to, destination), { recursive: true, verbatimSymlinks: true });
  }
}

function inside(stage: Stage, target: string): string {
  return path.join(stage.root, path.resolve(stage.directory, target));
}

/** The CMD of a HEALTHCHECK, which follows its options. */
function commandOf(healthCheck: Instruction): Instruction | null {
  const command = /\bCMD .*$/s.exec(healthCheck.getArgumentsContent() ?? '')?.[0] ?? '';
  return DockerfileParser.parse(command).getInstructions()[0] ?? null;
}

function jsonWords(instruction: Instruction | null): string[] {
  if (!(instruction instanceof JSONInstruction) || instruction.getOpeningBracket() === null) {
    throw new Error(`${instruction?.getKeyword()} is not in JSON, so a shell would stand between`);
  }
  return instruction.getJSONStrings().map((word) => word.getJSONValue());
}
