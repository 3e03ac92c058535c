/* SPDX-License-Identifier: Apache-2.0 */
#pragma once
/* Where the program finds its own files: beside itself in a build folder, or under its prefix when installed. */

/* The folder with index.html: $MAST_WEB_DIR, PREFIX/share/mast/web, or web/dist of the source tree. NULL = none. */
char *where_web_dir(void);
/* The state folder: $MAST_STATE_DIR, $STATE_DIRECTORY (systemd), /var/lib/mast for root, else ~/.local/state/mast. */
char *where_state_dir(void);
/* The configuration file when none is named: $MAST_CONFIG, ./mast.yml, /etc/mast/mast.yml. NULL = none exists. */
char *where_config_file(void);
