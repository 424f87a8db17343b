/** The flag to change when the port is taken. */
export const FE_PORT_FLAG = '--port (fe-server) or --fe-port (up)';
