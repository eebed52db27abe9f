# What the servers and clients of the matrix are made of: Debian with Git and Python, and the packages of npm and PyPI.
FROM toolbox/matrix-root:dev
ENV PATH=/opt/matrix/node_modules/node/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONDONTWRITEBYTECODE=1
COPY node_modules /opt/matrix/node_modules
COPY py /opt/matrix/py
