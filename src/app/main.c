/* SPDX-License-Identifier: Apache-2.0 */
/* The program `mast`: the list of its commands. */
#include "app/command.h"

const struct command *const commands[] = {
    &command_serve,   &command_check,     &command_stream,  &command_key,    &command_user,
    &command_webhook, &command_broadcast, &command_janus,   &command_reload, &command_upgrade,
    &command_event,   &command_doctor,    &command_version, &command_help,   NULL,
};

int main(int argc, char **argv)
{
    return command_main(argc, argv);
}
