// The thread in which a custom mask of one file runs. Started by the process that masks; not for process managers.
import { serveMasker } from '../src/masking/custom-service.js';

await serveMasker();
