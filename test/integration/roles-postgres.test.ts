import { describeSeparateRoles } from '../support/separate-roles.js';

describeSeparateRoles('postgres');
