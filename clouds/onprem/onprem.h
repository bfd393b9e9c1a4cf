/*
 * The user's own hosts over SSH: spec.hosts become nodes, nothing is made.
 *
 * ssh.host defaults to the first address, user to root, port to 22; a leading
 * ~/ in identityFile and the known defaults are expanded here, so that what
 * the record keeps is enough to reach the host later.
 */
#ifndef KC_CLOUDS_ONPREM_H
#define KC_CLOUDS_ONPREM_H

#include "clouds/cloud.h"

extern const struct kc_cloud kc_cloud_onprem;

#endif
