import { describeSeparateRoles } from '../support/separate-roles.js';
import { leaveUnmeasured } from '../support/unmeasured.js';

leaveUnmeasured();

describeSeparateRoles('postgres');
